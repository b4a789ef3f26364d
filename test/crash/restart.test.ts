/** The whole server ends in the middle of a turn, in order or not, and starts again on the same data dir. */
import { afterEach, describe, expect, it } from 'vitest';
import { choosePorts } from '../../src/temporal-server/ports.ts';
import { join } from 'node:path';
import {
  bash,
  checkList,
  isIdle,
  listAll,
  makeSession,
  measured,
  say,
  script,
  toolResults,
  turn,
  watch,
} from '../support/crash-client.ts';
import { commandStarted } from '../support/crash-hand.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../support/crash-server.ts';
import { eventually } from '../support/process.ts';

let dataDir: string;
let server: CrashServer;

afterEach(async () => {
  await cleanUp(dataDir, server);
});

async function freePort(): Promise<string> {
  const { api } = await choosePorts(join(dataDir, 'test-ports.json'), ['api']);
  return String(api);
}

const ENDS = {
  'SIGTERM, in order': (running: CrashServer) => running.stop(),
  'SIGKILL, all at once': (running: CrashServer) => running.killAll(),
};

describe.each(Object.entries(ENDS))('a server that ends by %s', (_name, end) => {
  it('goes on where it was: in a tool call and in a model call', async () => {
    dataDir = await makeDataDir();
    const env = { PORT: await freePort() };
    server = await startCrashServer(dataDir, env);
    const [tooling, thinking] = [await makeSession(server), await makeSession(server)];
    const watched = await watch(server, thinking);
    await turn(server, thinking, watched, script({ say: 'before' }));
    await say(
      server,
      tooling,
      script(bash('echo x >> f; sleep 5; wc -l < f'), { say: 'it said {{result}}' }),
    );
    await commandStarted(dataDir, tooling, 'f');
    const from = watched.seen.length;
    await say(server, thinking, script({ say: 'a b c d e f g h i j k l', chunkChars: 2, chunkDelayMs: 400 }));
    await watched.until('a preview', ({ type }) => type === 'event_delta', { from });
    const before = await Promise.all([tooling, thinking].map((id) => listAll(server.api, id)));
    const first = server;

    await end(first);
    const startedMs = Date.now();
    server = await startCrashServer(dataDir, env);
    measured('start on a data dir with turns under way, to ready', Date.now() - startedMs);

    expect(server.apiKey).toBe(first.apiKey);
    expect(server.url).toBe(first.url);
    expect(server.ports).toEqual(first.ports);
    for (const [at, id] of [tooling, thinking].entries()) {
      const idles = before[at]?.filter(isIdle).length ?? 0;
      await eventually(
        'the turn to end',
        async () => (await listAll(server.api, id)).filter(isIdle).length > idles,
        40_000,
      );
      const listed = await checkList(server, id);
      expect(listed.slice(0, before[at]?.length)).toEqual(before[at]);
    }
    measured('start on a data dir with turns under way, to the end of all', Date.now() - startedMs);
    const results = toolResults(await listAll(server.api, tooling));
    expect(results).toEqual([{ text: '1', isError: false }]);
    const again = await watch(server, tooling);
    const more = await turn(server, tooling, again, script(bash('wc -l < f'), { say: 'ok' }));
    expect(toolResults(more)).toEqual([{ text: '1', isError: false }]);
    await checkList(server, tooling);
    again.close();
  });
});
