/** The Temporal server dies: nothing that it had acknowledged is lost, and nothing happens twice. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  bash,
  checkSession,
  isIdle,
  isLogged,
  makeSession,
  measured,
  modelRequests,
  say,
  script,
  toolResults,
  turn,
  watch,
  type Line,
  type Watch,
} from '../../support/crash-client.ts';
import { commandStarted } from '../../support/crash-hand.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../../support/crash-server.ts';

/** Turns at a time, and how often: the supervisor is slower to start what dies again and again. */
const ABREAST = 5;
const ROUNDS = 4;

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir);
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

describe('a Temporal server that is killed', () => {
  it('in a model call: the turn ends', async () => {
    const session = await makeSession(server);
    const watched = await watch(server, session);
    await turn(server, session, watched, script({ say: 'before' }));
    const text = 'a b c d e f g h i j k l m n o p';
    await say(server, session, script({ say: text, chunkChars: 2, chunkDelayMs: 150 }));
    const from = watched.seen.length;
    await watched.until('a preview', ({ type }) => type === 'event_delta', { from });
    const killed = await server.kill('temporal');
    const next = await watched.until('the next event', (frame) => isLogged(frame), {
      from: watched.seen.length,
    });
    await watched.until('the end of the turn', isIdle, { from });
    measured('Temporal killed in a model call, to the next event', next.atMs - killed.atMs);
    expect(await server.back(killed)).not.toBe(killed.pid);
    const listed = await checkSession(server, session, watched);
    const said = listed.flatMap((event) => (event.type === 'agent.message' ? [event.content] : []));
    expect(said).toEqual([[{ type: 'text', text: 'before' }], [{ type: 'text', text }]]);
    watched.close();
  });

  it('while a tool runs: the command runs once, and its result is the normal one', async () => {
    const session = await makeSession(server);
    const watched = await watch(server, session);
    await say(
      server,
      session,
      script(bash('echo x >> f; sleep 3; wc -l < f'), { say: 'it said {{result}}' }),
    );
    await commandStarted(dataDir, session, 'f');
    const killed = await server.kill('temporal');
    const result = await watched.until('the result', ({ type }) => type === 'agent.tool_result');
    await watched.until('the end of the turn', isIdle);
    measured('Temporal killed in a tool call of 3 s, to its result', result.atMs - killed.atMs);
    const listed = await checkSession(server, session, watched);
    expect(toolResults(listed)).toEqual([{ text: '1', isError: false }]);
    const second = await turn(server, session, watched, script(bash('wc -l < f'), { say: 'ok' }));
    expect(toolResults(second)).toEqual([{ text: '1', isError: false }]);
    watched.close();
  });

  it('under many sessions at once: each turn ends, each event is there once', async () => {
    const sessions = await Promise.all(Array.from({ length: 6 }, () => makeSession(server)));
    const watches = await Promise.all(sessions.map((session) => watch(server, session)));
    const text = script({ say: 'working', chunkDelayMs: 100 }, bash('echo x >> f; wc -l < f'), {
      say: 'done',
    });
    await Promise.all(sessions.map((session) => say(server, session, text)));
    for (const _ of [1, 2]) {
      const killed = await server.kill('temporal');
      await server.back(killed);
      // In a moment at which it is at work again, not only up.
      const lengths = watches.map(({ seen }) => seen.length);
      const idle = watches.every(({ seen }) => seen.some(({ frame }) => isIdle(frame)));
      if (idle) break;
      await Promise.any(
        watches.map((one, at) => one.until('anything', isLogged, { from: lengths[at] ?? 0 })),
      );
    }
    for (const [at, session] of sessions.entries()) {
      const watched = watches[at];
      if (watched === undefined) continue;
      await watched.until('the end of the turn', isIdle);
      const listed = await checkSession(server, session, watched);
      expect(toolResults(listed)).toEqual([{ text: '1', isError: false }]);
      watched.close();
    }
  });

  it('in the middle of each of 20 turns: all end, nothing is lost, nothing happens twice', async () => {
    const sessions = await Promise.all(
      Array.from({ length: ABREAST }, async () => {
        const id = await makeSession(server);
        return { id, watched: await watch(server, id) };
      }),
    );
    await fetch(`${modelOf(server)}/x/requests`, { method: 'DELETE' });
    for (let round = 0; round < ROUNDS; round += 1) {
      const turns = await Promise.all(
        sessions.map(async ({ id, watched }, index) => {
          const from = watched.seen.length;
          const place = placeOf(index, round);
          const name = `${index}-${round}`;
          await say(server, id, script(...(place === 'call' ? callOf(name) : answerOf(name))));
          return { watched, from, goOn: await reached(place, { id, name, watched, from }) };
        }),
      );
      const killed = await server.kill('temporal');
      await server.back(killed);
      await Promise.all(turns.map(({ goOn }) => goOn()));
      const ends = turns.map(({ watched, from }) => watched.until('the end of its turn', isIdle, { from }));
      const lastMs = Math.max(...(await Promise.all(ends)).map(({ atMs }) => atMs));
      measured(
        `Temporal killed in the middle of ${ABREAST} turns, to the end of the last`,
        lastMs - killed.atMs,
      );
    }

    let spans = 0;
    for (const [index, { id, watched }] of sessions.entries()) {
      const listed = await checkSession(server, id, watched);
      expect(listed.filter(({ type }) => type === 'user.message')).toHaveLength(ROUNDS);
      const rounds = Array.from({ length: ROUNDS }, (_, round) => round);
      const said = listed.flatMap((event) => (event.type === 'agent.message' ? event.content : []));
      expect(said.map((block) => (block.type === 'text' ? block.text : block.type))).toEqual(
        rounds.flatMap((round) =>
          placeOf(index, round) === 'call'
            ? [`ran ${index}-${round}`]
            : [`half of ${index}-${round}`, 'and the rest'],
        ),
      );
      const calls = rounds
        .filter((round) => placeOf(index, round) === 'call')
        .map((round) => `${index}-${round}`);
      expect(toolResults(listed)).toEqual(calls.map((text) => ({ text, isError: false })));
      spans += listed.filter(({ type }) => type === 'span.model_request_start').length;
      const last = await turn(server, id, watched, script(bash('cat ran'), { say: 'ok' }));
      expect(toolResults(last)).toEqual([{ text: calls.join('\n'), isError: false }]);
      spans += 2;
      watched.close();
    }
    // One for each step, and at most one more for each turn that was hit.
    const requests = await modelRequests(server, '');
    expect(requests.length).toBeGreaterThanOrEqual(spans);
    expect(requests.length).toBeLessThanOrEqual(spans + ABREAST * ROUNDS);
  });
});

/** Where a turn is hit. */
function placeOf(index: number, round: number): 'call' | 'answer' {
  return (index + round) % 2 === 0 ? 'call' : 'answer';
}

/** A turn with a command that goes on when it is told to. */
function callOf(name: string): Line[] {
  const command = `echo ${name} >> ran; touch on-${name}; until [ -e go-${name} ]; do sleep 0.05; done; echo ${name}`;
  return [bash(command), { say: 'ran {{result}}' }];
}

/** A turn with an answer that is held half way. */
function answerOf(name: string): Line[] {
  return [{ say: `half of ${name}` }, { hold: `half-${name}` }, { say: 'and the rest' }];
}

/** Waits until the turn is in its middle. Answers how it goes on. */
async function reached(
  place: 'call' | 'answer',
  { id, name, watched, from }: { id: string; name: string; watched: Watch; from: number },
): Promise<() => Promise<void>> {
  if (place === 'call') {
    const folder = await commandStarted(dataDir, id, `on-${name}`);
    return () => writeFile(join(folder, 'workspace', `go-${name}`), '');
  }
  await watched.until('half of the answer', ({ type }) => type === 'event_delta', { from });
  return async () => void (await fetch(`${modelOf(server)}/x/release?hold=half-${name}`, { method: 'POST' }));
}

function modelOf({ ports }: CrashServer): string {
  return `http://127.0.0.1:${ports.model}`;
}
