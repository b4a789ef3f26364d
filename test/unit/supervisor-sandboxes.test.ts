import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { noteDockerHands } from '../../src/hands/suspend.ts';
import { createSandboxEnd } from '../../src/supervisor/sandboxes.ts';

let dataDir: string;
let socketPath: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'drover-test-'));
  socketPath = join(dataDir, 'docker.sock');
  vi.stubEnv('DOCKER_HOST', `unix://${socketPath}`);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(dataDir, { recursive: true });
});

async function endWithin(withinMs: number): Promise<string[]> {
  const lines: string[] = [];
  const end = createSandboxEnd(dataDir, (line) => lines.push(line), withinMs);
  end.begin();
  await end.done();
  return lines;
}

describe('the end of the sandboxes', () => {
  it('asks no Docker daemon about a data dir that never had hands in one', async () => {
    let asked = 0;
    const daemon = createServer(() => (asked += 1)).listen(socketPath);
    await once(daemon, 'listening');
    try {
      expect(await endWithin(60_000)).toEqual([]);
      expect(asked).toBe(0);
    } finally {
      daemon.close();
    }
  });

  it('does not wait for a Docker daemon that is silent', async () => {
    await noteDockerHands(dataDir);
    const asked = Promise.withResolvers<void>();
    const daemon = createServer((socket) => {
      socket.on('error', () => undefined).resume();
      asked.resolve();
    }).listen(socketPath);
    await once(daemon, 'listening');
    try {
      const lines = endWithin(1000);
      await asked.promise;
      expect(await lines).toEqual([expect.stringMatching(/^some sandboxes were not stopped: .*/)]);
    } finally {
      // Resolves only when the request was given up as well.
      await new Promise((resolve) => daemon.close(resolve));
    }
  });

  it('says when the Docker daemon is gone', async () => {
    await noteDockerHands(dataDir);
    expect(await endWithin(60_000)).toEqual([expect.stringContaining('ENOENT')]);
  });

  it('is over at once when it was never begun', async () => {
    await expect(createSandboxEnd(dataDir, () => undefined).done()).resolves.toBeUndefined();
  });
});
