/** Two workers share the sessions; one of them dies again and again. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  bash,
  checkSession,
  isIdle,
  makeSession,
  measured,
  pause,
  say,
  script,
  toolResults,
  turn,
  watch,
  type Watch,
} from '../support/crash-client.ts';
import { commandStarted } from '../support/crash-hand.ts';
import { cleanUp, hang, makeDataDir, startCrashServer, type CrashServer } from '../support/crash-server.ts';
import { isAlive } from '../support/process.ts';

const SESSIONS = 8;
const LEAST_TURNS = 3;
const CALLS = 4;
const KILLS = 6;

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir, { DROVER_WORKERS: '2' });
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

/** A small generator, so that a run can be had again by its seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('two workers', () => {
  it('of which one dies at random moments: all sessions end, no tool runs twice', async () => {
    const seed = Date.now() % 1_000_000;
    process.stderr.write(`seed: ${seed}\n`);
    const next = random(seed);
    const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => makeSession(server)));
    const watches = await Promise.all(sessions.map((session) => watch(server, session)));
    const startedMs = Date.now();
    let kills = 0;
    const working = Promise.all(
      sessions.map((session, at) => work(session, watches[at], () => kills >= KILLS)),
    );
    working.catch(() => undefined);
    while (kills < KILLS) {
      await pause(500 + next() * 3000);
      const role = next() < 0.5 ? 'worker' : 'worker-2';
      if (!isAlive(await server.pid(role))) continue;
      await server.kill(role);
      kills += 1;
    }
    const rounds = await working;
    const calls = rounds.reduce((sum, one) => sum + one, 0) * CALLS;
    measured(
      `${SESSIONS} sessions with ${calls} tool calls in all, under ${KILLS} kills`,
      Date.now() - startedMs,
    );

    for (const [at, session] of sessions.entries()) {
      const watched = watches[at];
      if (watched === undefined) throw new Error('no stream');
      const expected = Array.from({ length: (rounds[at] ?? 0) * CALLS }, (_, index) => `call-${index}`);
      const listed = await checkSession(server, session, watched);
      expect(toolResults(listed)).toEqual(expected.map((text) => ({ text, isError: false })));
      const frames = await turn(server, session, watched, script(bash('cat ran'), { say: 'ok' }));
      expect(toolResults(frames)).toEqual([{ text: expected.join('\n'), isError: false }]);
      watched.close();
    }
  });

  it('of which one hangs in a tool call: the other takes it over, and the first one changes nothing', async () => {
    for (const role of ['worker', 'worker-2'] as const) {
      const session = await makeSession(server);
      const watched = await watch(server, session);
      await say(
        server,
        session,
        script(bash('echo x >> f; sleep 8; wc -l < f'), { say: 'it said {{result}}' }),
      );
      await commandStarted(dataDir, session, 'f');
      await hang(server, role, async () => {
        const hungMs = Date.now();
        const end = await watched.until('the end of the turn', isIdle);
        measured(
          `one of two workers hangs in a tool call of 8 s (${role}), to the end of the turn`,
          end.atMs - hungMs,
        );
      });
      const after = await turn(server, session, watched, script({ say: 'again' }));
      expect(toolResults(after)).toEqual([]);
      const listed = await checkSession(server, session, watched);
      expect(toolResults(listed)).toEqual([{ text: '1', isError: false }]);
      watched.close();
    }
  });
});

/** Turn after turn until the killing is over; answers how many there were. */
async function work(session: string, watched: Watch | undefined, isOver: () => boolean): Promise<number> {
  if (watched === undefined) throw new Error('no stream');
  let round = 0;
  for (; round < LEAST_TURNS || !isOver(); round += 1) {
    const calls = Array.from({ length: CALLS }, (_, index) => {
      const id = `call-${round * CALLS + index}`;
      return bash(`echo ${id} >> ran; sleep 0.4; echo ${id}`);
    });
    await turn(server, session, watched, script(...calls, { say: 'done', chunkDelayMs: 100 }));
  }
  return round;
}
