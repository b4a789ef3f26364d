/** A bubblewrap hand dies under a running command. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  bash,
  checkSession,
  isIdle,
  makeSession,
  measured,
  say,
  script,
  toolResults,
  watch,
} from '../support/crash-client.ts';
import {
  cleanUp,
  killQuietly,
  makeDataDir,
  startCrashServer,
  type CrashServer,
} from '../support/crash-server.ts';
import { childrenOf, commandStarted, parentOf } from '../support/crash-hand.ts';
import { eventually } from '../support/process.ts';

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir);
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

/** Runs a turn of two calls, and has `hurt` do something to the hand while the first of them runs. */
async function turnWithDeath(hurt: (sandboxPid: number) => Promise<void>) {
  const session = await makeSession(server);
  const watched = await watch(server, session);
  await say(
    server,
    session,
    script(bash('touch started; sleep 8; echo slept'), bash('ls -a; echo fresh'), {
      say: 'it said {{result}}',
    }),
  );
  const folder = await commandStarted(dataDir, session, 'started');
  await hurt(await sandboxPid(folder));
  const hurtMs = Date.now();
  const from = watched.seen.length;
  const result = await watched.until('the result', ({ type }) => type === 'agent.tool_result', { from });
  await watched.until('the end of the turn', isIdle, { from });
  const listed = await checkSession(server, session, watched);
  watched.close();
  return { session, results: toolResults(listed), tookMs: result.atMs - hurtMs };
}

async function sandboxPid(folder: string): Promise<number> {
  return await eventually('the pid of the sandbox', async () => {
    const status = await readFile(join(folder, 'status'), 'utf8');
    return Number(/"child-pid": *(\d+)/.exec(status)?.[1] ?? 0) || undefined;
  });
}

describe('a hand that dies while a tool runs', () => {
  it('by the death of its runner: one error, then a fresh hand', async () => {
    const { results, tookMs } = await turnWithDeath(async (pid) => {
      const [runner] = await childrenOf(pid);
      expect(runner).toBeDefined();
      killQuietly(runner ?? 0);
    });
    measured('runner killed in a tool call, to its result', tookMs);
    expect(results).toMatchObject([{ isError: true }, { isError: false }]);
    expect(results[0]?.text).toContain('sandbox');
    expect(results[1]?.text).toBe('.\n..\nfresh');
  });

  it('by the death of its first process: one error, then a fresh hand', async () => {
    const { results, tookMs } = await turnWithDeath(async (pid) => killQuietly(pid));
    measured('sandbox killed in a tool call, to its result', tookMs);
    expect(results).toMatchObject([{ isError: true }, { isError: false }]);
    expect(results[1]?.text).toBe('.\n..\nfresh');
  });

  it('not by the death of bubblewrap outside: what runs inside goes on', async () => {
    const { results } = await turnWithDeath(async (pid) => killQuietly(await parentOf(pid)));
    expect(results).toMatchObject([
      { isError: false, text: 'slept' },
      { isError: false, text: '.\n..\nstarted\nfresh' },
    ]);
  });

  it('leaves no folder behind but that of the fresh one', async () => {
    const homes = (await readdir(join(dataDir, 'hands'))).filter((name) => !name.startsWith('.'));
    const generations = await Promise.all(homes.map((home) => readdir(join(dataDir, 'hands', home))));
    expect(generations.every((names) => names.length <= 1)).toBe(true);
  });
});
