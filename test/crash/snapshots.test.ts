/** Workers die while the files of a hand are kept, and while they are laid out in a fork's. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { handFolders } from '../../scripts/sandboxes.ts';
import {
  bash,
  checkList,
  checkSession,
  isIdle,
  makeSession,
  say,
  script,
  toolResults,
  turn,
  watch,
} from '../support/crash-client.ts';
import { commandStarted } from '../support/crash-hand.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../support/crash-server.ts';
import { eventually } from '../support/process.ts';

/** Four files that take some time on their way, and many small ones. */
const FILL =
  'echo x >> runs; mkdir d; for i in $(seq 300); do echo $i > d/$i; done; ' +
  'for i in 1 2 3 4; do head -c 40000000 /dev/urandom > r$i; done; cat r* d/* | cksum';
const SUM = 'cat r* d/* | cksum; wc -l < runs';
/** The moment that is to be hit is short. */
const MOST_TRIES = 5;

interface Fork {
  readonly id: string;
  readonly workspace: { readonly state: string; readonly bytes?: number; readonly reason?: string };
}

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir);
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

async function fork(id: string): Promise<Fork> {
  return await server.api.post(`/v1/x/sessions/${id}/fork`, { body: {} });
}

/** A session with files, and the sum that it said. */
async function filled(): Promise<{ session: string; sum: string }> {
  const session = await makeSession(server);
  const watched = await watch(server, session);
  const [result] = toolResults(await turn(server, session, watched, script(bash(FILL), { say: 'done' })));
  watched.close();
  return { session, sum: result?.text ?? '' };
}

/** The large contents that are kept for a session so far. */
async function keptOf(session: string): Promise<number> {
  const folder = join(dataDir, 'blobs', session);
  const names = (await readdir(folder).catch(() => [])).filter((name) => !name.startsWith('.'));
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.filter((size) => size === 40_000_000).length;
}

/** Folders in which contents wait to be laid out in a session's hand. */
async function stagedIn(session: string): Promise<string[]> {
  const folders = await handFolders(dataDir, session);
  const names = await Promise.all(folders.map((folder) => readdir(join(folder, 'state')).catch(() => [])));
  return names.flat().filter((name) => name.startsWith('staging'));
}

describe('a worker that is killed', () => {
  it("while a hand's files are kept: the call is not run again, and a fork has all of them", async () => {
    for (let tries = 1; ; tries += 1) {
      const session = await makeSession(server);
      const watched = await watch(server, session);
      await say(server, session, script(bash(FILL), { say: 'done' }));
      const isOver = (): boolean => toolResults(watched.seen.map(({ frame }) => frame)).length > 0;
      await eventually('some of the files kept', async () => isOver() || (await keptOf(session)) > 0, 60_000);
      const killed = await server.kill('worker');
      const wasHit = !isOver();
      await watched.until('the end of the turn', isIdle);
      await server.back(killed);
      const [result] = toolResults(await checkSession(server, session, watched));
      watched.close();
      const { id, workspace } = await fork(session);
      expect(workspace.state).toBe('snapshot');
      const forked = await watch(server, id);
      const listed = await turn(server, id, forked, script(bash(SUM), { say: 'done' }));
      forked.close();
      expect(toolResults(listed).at(-1)?.text).toBe(`${result?.text}\n1`);
      if (wasHit) return;
      expect(tries).toBeLessThan(MOST_TRIES);
    }
  });

  it("while files are laid out in a fork's hand: they are laid out again, and all are there", async () => {
    const { session, sum } = await filled();
    for (let tries = 1; ; tries += 1) {
      const { id } = await fork(session);
      const watched = await watch(server, id);
      await say(server, id, script(bash(SUM), { say: 'done' }));
      const isOver = (): boolean => toolResults(watched.seen.map(({ frame }) => frame)).length > 0;
      await eventually('files on their way', async () => isOver() || (await stagedIn(id)).length > 0, 60_000);
      const wasHit = !isOver();
      const killed = await server.kill('worker');
      await watched.until('the end of the turn', isIdle);
      await server.back(killed);
      const results = toolResults(await checkList(server, id));
      watched.close();
      expect(results.at(-1)).toEqual({ text: `${sum}\n1`, isError: false });
      expect(await handFolders(dataDir, id)).toHaveLength(1);
      expect(await stagedIn(id)).toEqual([]);
      if (wasHit) return;
      expect(tries).toBeLessThan(MOST_TRIES);
    }
  });
});

describe('a call that is interrupted', () => {
  it('leaves what it had done, also to a fork', async () => {
    const session = await makeSession(server);
    const watched = await watch(server, session);
    await say(server, session, script(bash('echo one > f; sleep 60; echo two > f'), { say: 'never' }));
    await commandStarted(dataDir, session, 'f');
    await server.api.beta.sessions.events.send(session, { events: [{ type: 'user.interrupt' }] });
    await watched.until('the end of the turn', isIdle);
    watched.close();
    const { id, workspace } = await fork(session);
    expect(workspace).toMatchObject({ state: 'snapshot', bytes: 4 });
    const forked = await watch(server, id);
    const listed = await turn(server, id, forked, script(bash('cat f'), { say: 'done' }));
    forked.close();
    expect(toolResults(listed).at(-1)?.text).toBe('one');
  });
});
