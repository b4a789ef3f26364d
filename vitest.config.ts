import { defineConfig } from 'vitest/config';

const slow = { testTimeout: 120_000, hookTimeout: 180_000, pool: 'forks' as const };

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 20_000 } },
      { test: { name: 'hands', include: ['test/hands/**/*.test.ts'], ...slow, fileParallelism: false } },
      {
        test: {
          name: 'crash',
          include: ['test/crash/**/*.test.ts'],
          ...slow,
          testTimeout: 180_000,
          fileParallelism: false,
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
        },
      },
    ],
  },
});
