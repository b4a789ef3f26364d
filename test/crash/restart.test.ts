/** The whole server ends in the middle of a turn, in order or not, and starts again on the same data dir. */
import { afterEach, describe, expect, it } from 'vitest';
import { choosePorts } from '../../src/supervisor/ports.ts';
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
import {
  cleanUp,
  makeDataDir,
  processesOf,
  startCrashServer,
  type CrashServer,
} from '../support/crash-server.ts';
import { eventually } from '../support/process.ts';

/** What a command in a sandbox calls itself, so that it is found from outside. */
const MARKED = `drover-crash-command-${process.pid}`;

let dataDir: string;
let server: CrashServer;

afterEach(async () => {
  await cleanUp(dataDir, server);
});

async function freePort(): Promise<string> {
  const { api } = await choosePorts(join(dataDir, 'test-ports.json'), ['api']);
  return String(api);
}

interface End {
  readonly end: (running: CrashServer) => Promise<void>;
  /** A command that is under way at that moment. It makes the file f, with a line for each time that it runs. */
  readonly command: string;
  /** What becomes of it. */
  readonly result: { readonly text: unknown; readonly isError: boolean };
}

const ENDS: Readonly<Record<string, End>> = {
  'SIGTERM, in order': {
    async end(running) {
      await eventually('the command to run', async () => (await processesOf(MARKED)).length > 0);
      await running.stop();
      // Sandboxes name the data dir, too: each is a tree below a process that does.
      expect(await processesOf(dataDir)).toEqual([]);
      expect(await processesOf(MARKED)).toEqual([]);
    },
    command: `echo x >> f; (exec -a ${MARKED} sleep 300)`,
    result: { text: expect.stringContaining('The outcome of this bash call is unknown'), isError: true },
  },
  'SIGKILL, all at once': {
    end: (running) => running.killAll(),
    command: 'echo x >> f; sleep 5; wc -l < f',
    result: { text: '1', isError: false },
  },
};

describe.each(Object.entries(ENDS))('a server that ends by %s', (_name, { end, command, result }) => {
  it('goes on where it was: in a tool call and in a model call', async () => {
    dataDir = await makeDataDir();
    const env = { PORT: await freePort() };
    server = await startCrashServer(dataDir, env);
    const [tooling, thinking] = [await makeSession(server), await makeSession(server)];
    const watched = await watch(server, thinking);
    await turn(server, thinking, watched, script({ say: 'before' }));
    await say(server, tooling, script(bash(command), { say: 'it said {{result}}' }));
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
    expect(results).toEqual([result]);
    const again = await watch(server, tooling);
    const more = await turn(server, tooling, again, script(bash('wc -l < f'), { say: 'ok' }));
    expect(toolResults(more)).toEqual([{ text: '1', isError: false }]);
    await checkList(server, tooling);
    again.close();
  });
});
