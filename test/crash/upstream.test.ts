/** The way to the model breaks: the request fails, the loop says so and makes it again. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  checkSession,
  isIdle,
  isLogged,
  makeSession,
  measured,
  say,
  script,
  watch,
} from '../support/crash-client.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../support/crash-server.ts';

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir);
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

describe.each(['proxy', 'model'] as const)('a %s that is killed in a model call', (role) => {
  it('is an error that is retried; the turn ends', async () => {
    const session = await makeSession(server);
    const watched = await watch(server, session);
    const text = 'a b c d e f g h i j k l m n o p';
    await say(server, session, script({ say: text, chunkChars: 2, chunkDelayMs: 100 }));
    await watched.until('a preview', ({ type }) => type === 'event_delta');
    const from = watched.seen.length;
    const killed = await server.kill(role);
    const next = await watched.until('the next event', isLogged, { from });
    await watched.until('the end of the turn', isIdle);
    const end = watched.seen.at(-1);
    measured(`${role} killed in a model call, to the next event`, next.atMs - killed.atMs);
    measured(`${role} killed in a model call, to the end of the turn`, (end?.atMs ?? 0) - killed.atMs);
    expect((end?.atMs ?? 0) - killed.atMs).toBeLessThan(20_000);

    const listed = await checkSession(server, session, watched);
    const said = listed.flatMap((event) => (event.type === 'agent.message' ? [event.content] : []));
    expect(said).toEqual([[{ type: 'text', text }]]);
    const errors = listed.flatMap((event) => (event.type === 'session.error' ? [event.error] : []));
    expect(errors.length).toBeGreaterThan(0);
    for (const error of errors) expect(error).toMatchObject({ retry_status: { type: 'retrying' } });
    expect(listed.at(-1)).toMatchObject({ stop_reason: { type: 'end_turn' } });
    expect(await server.back(killed)).not.toBe(killed.pid);
    watched.close();
  });
});
