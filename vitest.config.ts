import { defineConfig } from 'vitest/config';

const TESTS = 'test/server/**/*.test.ts';

/** Of one engine alone. */
const ONLY_TEMPORAL = 'test/*/temporal/**';
const ONLY_LOG = 'test/*/log/**';
/** Of both at once: the set-up has Temporal, and the log engine is always there. */
const BOTH = 'test/*/both/**';

/** Of `npm start` alone: with the embedded Temporal server, and servers of their own with other settings. */
const ONLY_EMBEDDED = [
  'supervisor',
  'log/supervisor',
  'temporal/supervisor',
  'temporal/embedded',
  'context',
  'postgres',
].map((name) => `test/server/${name}.test.ts`);

/** What counts the history of a single run. */
const OF_ONE_RUN = 'test/server/stored.test.ts';

/** Of Temporal on Postgres alone. */
const ONLY_POSTGRES = 'test/server/temporal/on-postgres.test.ts';

/** Unit tests of what stands on records, for a second run on Postgres. */
const OVER_RECORDS = ['agents', 'environments', 'http'].map((name) => `test/unit/${name}.test.ts`);

const slow = { testTimeout: 120_000, hookTimeout: 180_000, pool: 'forks' as const };

/** One server for all files: they keep apart by agents and sessions of their own. */
const server = { include: [TESTS], ...slow, testTimeout: 60_000, maxWorkers: 2 };

const crash = {
  include: ['test/crash/**/*.test.ts'],
  ...slow,
  testTimeout: 180_000,
  fileParallelism: false,
};

/** For tests that start servers of their own. */
const withLog = { env: { DROVER_ENGINE: 'log' } };

/** One kind of test after the other: those that kill or measure must not be disturbed by the rest. */
const order = (groupOrder: number) => ({ sequence: { groupOrder } });

export default defineConfig({
  test: {
    reporters: ['default', './scripts/closing-line.ts'],
    globalSetup: ['test/global-setup.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          testTimeout: 20_000,
          // Some start a Postgres of their own, to kill it.
          hookTimeout: 60_000,
          ...order(1),
        },
      },
      {
        test: {
          name: 'unit-postgres',
          include: OVER_RECORDS,
          testTimeout: 20_000,
          globalSetup: ['test/set-ups/unit-postgres.ts'],
          ...order(1),
        },
      },
      {
        test: {
          name: 'server',
          ...server,
          exclude: [ONLY_LOG, ONLY_POSTGRES],
          globalSetup: ['test/set-ups/temporal.ts'],
          ...order(2),
        },
      },
      {
        test: {
          name: 'server-temporal-postgres',
          // The same tests again, with runs so short that all go through chains of them.
          ...server,
          exclude: [ONLY_LOG, ...ONLY_EMBEDDED, OF_ONE_RUN],
          globalSetup: ['test/set-ups/temporal-postgres.ts'],
          ...order(3),
        },
      },
      {
        test: {
          name: 'server-log',
          // And again, with the other engine.
          ...server,
          ...withLog,
          exclude: [ONLY_TEMPORAL, BOTH],
          globalSetup: ['test/set-ups/log.ts'],
          ...order(4),
        },
      },
      {
        test: {
          name: 'server-log-postgres',
          ...server,
          ...withLog,
          exclude: [ONLY_TEMPORAL, BOTH, ...ONLY_EMBEDDED],
          globalSetup: ['test/set-ups/log-postgres.ts'],
          ...order(5),
        },
      },
      {
        test: {
          name: 'hands',
          include: ['test/hands/**/*.test.ts'],
          ...slow,
          fileParallelism: false,
          ...order(6),
        },
      },
      { test: { name: 'crash', ...crash, exclude: [ONLY_LOG], ...order(7) } },
      { test: { name: 'crash-log', ...crash, ...withLog, exclude: [ONLY_TEMPORAL, BOTH], ...order(8) } },
      { test: { name: 'differential', include: ['test/differential/**/*.test.ts'], ...slow, ...order(9) } },
    ],
  },
});
