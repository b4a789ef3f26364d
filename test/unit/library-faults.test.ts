/** Workarounds for faults of libraries, each with a test that fails when the fault is gone: then the workaround goes too. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { expect, it } from 'vitest';

const require = createRequire(import.meta.url);

it('protobufjs 8 must be a direct dependency, as long as @grpc/proto-loader brings 7 to the top level', async () => {
  // Without it npm puts 7 there and gives each @temporalio package a copy of 8 of its own, and a replay from JSON
  // fails with "type must be a Type". test/server/replay.test.ts is what breaks then.
  const loader = JSON.parse(await readFile(require.resolve('@grpc/proto-loader/package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  expect(loader.dependencies['protobufjs']).toMatch(/^\^7/);
  const ours = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  expect(ours.dependencies['protobufjs']).toMatch(/^8/);
});
