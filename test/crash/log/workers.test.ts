/** Two workers on one log: what one of them has under way, the other takes over as soon as the first is silent. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  bash,
  checkSession,
  isIdle,
  makeSession,
  measured,
  modelRequests,
  pause,
  say,
  script,
  toolResults,
  turn,
  watch,
  type Event,
} from '../../support/crash-client.ts';
import { commandStarted, tellToGoOn, UNTIL_TOLD } from '../../support/crash-hand.ts';
import { harnessOf, holderOf } from '../../support/crash-harness.ts';
import {
  cleanUp,
  hang,
  makeDataDir,
  SILENT_MS,
  startCrashServer,
  type CrashServer,
} from '../../support/crash-server.ts';
import { eventually } from '../../support/process.ts';

const SLOW_TEXT = Array.from({ length: 40 }, (_, index) => `word${index}`).join(' ');
const SLOW = { say: SLOW_TEXT, chunkChars: 10, chunkDelayMs: 60 };
const ROUNDS = 3;
const TAKEN_OVER_WITHIN_MS = 2000;

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir, { DROVER_WORKERS: '2' });
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

function saidIn(events: readonly Event[]): string[] {
  return events.flatMap((event) =>
    event.type === 'agent.message'
      ? event.content.map((block) => (block.type === 'text' ? block.text : ''))
      : [],
  );
}

describe('a worker that is killed', () => {
  it('in a model call: the other one makes it again within 2 s', async () => {
    const tookMs: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const session = await makeSession(server, []);
      const watched = await watch(server, session);
      const mark = `mark-${session}`;
      const asked = async () => await modelRequests(server, mark);
      await say(server, session, `${mark}\n${script(SLOW)}`);
      await eventually('the model to be asked', async () => (await asked()).length === 1);
      const { holder } = await holderOf(server, session);
      const name = await harnessOf(dataDir, holder);
      const killed = await server.kill(holder);
      const again = await eventually('the model to be asked again', async () => (await asked())[1]);
      tookMs.push(Date.parse(again.received_at) - killed.atMs);
      measured('worker killed in a model call, to that of another worker', tookMs.at(-1) ?? 0);

      await watched.until('the end of the turn', isIdle);
      expect(await asked()).toHaveLength(2);
      expect(saidIn(await checkSession(server, session, watched))).toEqual([SLOW_TEXT]);
      watched.close();
      await eventually('another harness', async () => (await harnessOf(dataDir, holder)) !== name, 30_000);
    }
    // Each may come upon a busy moment of the machine, but not all of them.
    expect(Math.min(...tookMs)).toBeLessThan(TAKEN_OVER_WITHIN_MS);
  });
});

describe('a worker that stands still until it is taken for dead', () => {
  it.each([
    { what: 'a model call', lines: [SLOW], says: SLOW_TEXT, results: [] },
    {
      what: 'a tool call',
      lines: [bash(UNTIL_TOLD), { say: 'it said {{result}}' }],
      says: 'it said 1',
      results: [{ text: '1', isError: false }],
    },
  ])('in $what: what it still has to say is refused', async ({ what, lines, says, results }) => {
    const session = await makeSession(server);
    const watched = await watch(server, session);
    await say(server, session, script(...lines));
    const isTool = results.length > 0;
    const folder = isTool ? await commandStarted(dataDir, session, 'f') : undefined;
    if (!isTool) await watched.until('a preview', ({ type }) => type === 'event_delta');
    const { holder, other } = await holderOf(server, session);
    await hang(server, holder, async () => {
      const hungMs = Date.now();
      await pause(SILENT_MS);
      if (folder !== undefined) await tellToGoOn(folder);
      const end = await watched.until('the end of the turn', isIdle);
      measured(`worker hangs in ${what}, to the end of the turn by another one`, end.atMs - hungMs);
    });
    expect((await holderOf(server, session)).holder).toBe(other);
    const listed = await checkSession(server, session, watched);
    expect(saidIn(listed)).toEqual([says]);
    expect(toolResults(listed)).toEqual(results);

    // With the other one dead, it has to do the next turn itself: it has woken up, and learnt of what was done.
    const next = await server.without(other, async () => {
      const more = await turn(server, session, watched, script({ say: 'after' }));
      expect(more.filter(({ type }) => type === 'agent.message')).toHaveLength(1);
      return (await holderOf(server, session)).holder;
    });
    expect(next).toBe(holder);
    const after = await checkSession(server, session, watched);
    expect(after.slice(0, listed.length)).toEqual(listed);
    expect(saidIn(after)).toEqual([says, 'after']);
    expect(watched.seen.filter(({ frame }) => isIdle(frame))).toHaveLength(2);
    watched.close();
  });
});
