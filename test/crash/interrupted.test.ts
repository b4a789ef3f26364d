/** What is under way loses its worker, and then the user interrupts. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { INTERRUPTED } from '../../src/loop.ts';
import {
  bash,
  checkSession,
  isIdle,
  makeSession,
  modelRequests,
  say,
  script,
  toolResults,
  turn,
  watch,
  type Watch,
} from '../support/crash-client.ts';
import { commandStarted } from '../support/crash-hand.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../support/crash-server.ts';
import { eventually } from '../support/process.ts';

/** Longer than the test: the next command would wait for one that ran on. */
const FOR_EVER = 'sleep 600';
const SLOW_TEXT = Array.from({ length: 200 }, (_, index) => `word${index}`).join(' ');

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir);
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

/**
 * When the interrupt comes. At once: what is lost is found first, and its next attempt finds the interrupt. Then: the
 * other way round, and Temporal tries no activity again that it has told to stop.
 */
const MOMENTS = ['at once', 'once another worker is there'] as const;

async function killAndInterrupt(id: string, watched: Watch, moment: (typeof MOMENTS)[number]): Promise<void> {
  const from = watched.seen.length;
  const killed = await server.kill('worker');
  if (moment !== 'at once') await server.back(killed);
  await server.api.beta.sessions.events.send(id, { events: [{ type: 'user.interrupt' }] });
  await watched.until('the end of the turn', isIdle, { from });
}

describe.each(MOMENTS)('what has lost its worker and is interrupted %s', (moment) => {
  it('stops, when it is a command', async () => {
    const id = await makeSession(server);
    const watched = await watch(server, id);
    await say(server, id, script(bash(`echo x >> f; ${FOR_EVER}`), { say: 'never said' }));
    await commandStarted(dataDir, id, 'f');
    await killAndInterrupt(id, watched, moment);
    const stopped = { text: INTERRUPTED, isError: true };
    expect(toolResults(watched.seen.map(({ frame }) => frame))).toEqual([stopped]);
    const next = await turn(server, id, watched, script(bash('wc -l < f'), { say: 'ok' }));
    expect(toolResults(next)).toEqual([{ text: '1', isError: false }]);
    await checkSession(server, id, watched);
    watched.close();
  });

  it('is on the bill, when it is a model request', async () => {
    const id = await makeSession(server, []);
    const watched = await watch(server, id);
    const mark = `mark-${id}`;
    await say(server, id, `${mark}\n${script({ say: SLOW_TEXT, chunkChars: 10, chunkDelayMs: 100 })}`);
    await eventually('the model to be asked', async () => (await modelRequests(server, mark)).length > 0);
    await killAndInterrupt(id, watched, moment);
    expect(await modelRequests(server, mark)).toHaveLength(1);
    const { usage } = await server.api.beta.sessions.retrieve(id);
    expect(Number(usage.list_cost?.amount)).toBeGreaterThan(0);
    await checkSession(server, id, watched);
    watched.close();
  });
});
