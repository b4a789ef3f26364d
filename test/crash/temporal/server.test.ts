/** The Temporal server dies: nothing that it had acknowledged is lost, and nothing happens twice. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  bash,
  checkSession,
  isIdle,
  isLogged,
  makeSession,
  measured,
  say,
  script,
  toolResults,
  turn,
  watch,
} from '../../support/crash-client.ts';
import { commandStarted } from '../../support/crash-hand.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../../support/crash-server.ts';

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
});
