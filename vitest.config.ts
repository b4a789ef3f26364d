import { defineConfig } from 'vitest/config';

const TESTS = 'test/server/**/*.test.ts';

/** Of `npm start` alone: with the embedded Temporal server, and servers of their own with other settings. */
const ONLY_EMBEDDED = ['supervisor', 'temporal-server', 'context'].map(
  (name) => `test/server/${name}.test.ts`,
);

/** Of Temporal on Postgres alone. */
const ONLY_POSTGRES = ['test/server/temporal-on-postgres.test.ts'];

const slow = { testTimeout: 120_000, hookTimeout: 180_000, pool: 'forks' as const };

/** One kind of test after the other: those that kill or measure must not be disturbed by the rest. */
const order = (groupOrder: number) => ({ sequence: { groupOrder } });

export default defineConfig({
  test: {
    reporters: ['default', './scripts/closing-line.ts'],
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 20_000, ...order(1) } },
      {
        test: {
          name: 'server',
          include: [TESTS],
          exclude: ONLY_POSTGRES,
          ...slow,
          testTimeout: 60_000,
          // One server for all files: they keep apart by agents and sessions of their own.
          globalSetup: ['test/set-ups/temporal.ts'],
          maxWorkers: 2,
          ...order(2),
        },
      },
      {
        test: {
          name: 'server-temporal-postgres',
          // The same tests again.
          include: [TESTS],
          exclude: ONLY_EMBEDDED,
          ...slow,
          testTimeout: 60_000,
          globalSetup: ['test/set-ups/temporal-postgres.ts'],
          maxWorkers: 2,
          ...order(3),
        },
      },
      {
        test: {
          name: 'hands',
          include: ['test/hands/**/*.test.ts'],
          ...slow,
          fileParallelism: false,
          ...order(4),
        },
      },
      {
        test: {
          name: 'crash',
          include: ['test/crash/**/*.test.ts'],
          ...slow,
          testTimeout: 180_000,
          fileParallelism: false,
          ...order(5),
        },
      },
    ],
  },
});
