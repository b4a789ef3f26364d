import { defineConfig } from 'vitest/config';

const slow = { testTimeout: 120_000, hookTimeout: 180_000, pool: 'forks' as const };

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
          name: 'server',
          include: ['test/server/**/*.test.ts'],
          ...slow,
          testTimeout: 60_000,
          // One server for all files: they keep apart by agents and sessions of their own.
          globalSetup: ['test/server/global-setup.ts'],
          maxWorkers: 2,
          ...order(2),
        },
      },
      {
        test: {
          name: 'hands',
          include: ['test/hands/**/*.test.ts'],
          ...slow,
          fileParallelism: false,
          ...order(3),
        },
      },
      {
        test: {
          name: 'crash',
          include: ['test/crash/**/*.test.ts'],
          ...slow,
          testTimeout: 180_000,
          fileParallelism: false,
          ...order(4),
        },
      },
    ],
  },
});
