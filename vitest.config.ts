import { defineConfig } from 'vitest/config';

const slow = { testTimeout: 120_000, hookTimeout: 180_000, pool: 'forks' as const, fileParallelism: false };

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 20_000 } },
      { test: { name: 'hands', include: ['test/hands/**/*.test.ts'], ...slow } },
      { test: { name: 'server', include: ['test/server/**/*.test.ts'], ...slow } },
    ],
  },
});
