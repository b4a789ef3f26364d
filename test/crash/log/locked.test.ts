/** Somebody keeps the database locked: everything waits, and nothing is lost. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  bash,
  checkSession,
  isIdle,
  listAll,
  makeSession,
  measured,
  pause,
  say,
  script,
  toolResults,
  turn,
  watch,
  type Watch,
} from '../../support/crash-client.ts';
import { commandStarted, tellToGoOn, UNTIL_TOLD } from '../../support/crash-hand.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../../support/crash-server.ts';
import { eventually } from '../../support/process.ts';

const LOCKED_MS = 5000;
const TEXT = Array.from({ length: 20 }, (_, index) => `word${index}`).join(' ');

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir, { DROVER_WORKERS: '2' });
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

/** As a backup or a person with a shell does it. */
async function locked<T>(use: () => Promise<T>): Promise<T> {
  const database = new DatabaseSync(join(dataDir, 'drover.db'), { timeout: 5000 });
  database.exec('begin immediate');
  try {
    return await use();
  } finally {
    database.exec('rollback');
    database.close();
  }
}

it('for 5 s, in the middle of turns: each result and each message is there once, and it goes on', async () => {
  const [tooling, thinking, resting] = [await open(), await open(), await open()];
  await turn(server, resting.id, resting.watched, script({ say: 'before' }));
  await say(server, tooling.id, script(bash(UNTIL_TOLD), { say: 'it said {{result}}' }));
  const folder = await commandStarted(dataDir, tooling.id, 'f');
  const slow = { chunkChars: 4, chunkDelayMs: 50 };
  await say(server, thinking.id, script({ say: TEXT, ...slow }));
  await thinking.watched.until('a preview', ({ type }) => type === 'event_delta');
  const from = resting.watched.seen.length;

  const sending = await locked(async () => {
    const lockedMs = Date.now();
    let isAnswered = false;
    const sent = say(server, resting.id, script({ say: 'after' })).then((answer) => {
      isAnswered = true;
      return answer;
    });
    // Both operations end now, and what they produced cannot be written.
    await tellToGoOn(folder);
    await eventually('the whole answer', () => previewsOf(thinking.watched) === TEXT, 30_000);
    await pause(Math.max(0, lockedMs + LOCKED_MS - Date.now()));
    // It can still be read; what was sent is not acknowledged before it is durable.
    for (const { id, watched } of [tooling, thinking]) {
      expect((await listAll(server.api, id)).some(isIdle)).toBe(false);
      expect(watched.broken).toBeUndefined();
    }
    expect(isAnswered).toBe(false);
    return { sent };
  });
  const freeMs = Date.now();
  expect((await sending.sent).data).toMatchObject([{ type: 'user.message' }]);
  await resting.watched.until('its end', isIdle, { from });
  await tooling.watched.until('the end of the tool', isIdle);
  const end = await thinking.watched.until('the end of the answer', isIdle);
  measured('database locked for 5 s, from its release to the end of a model call', end.atMs - freeMs);

  const tooled = await checkSession(server, tooling.id, tooling.watched);
  expect(toolResults(tooled)).toEqual([{ text: '1', isError: false }]);
  for (const [{ id, watched }, says] of [
    [thinking, [TEXT]],
    [resting, ['before', 'after']],
  ] as const) {
    const listed = await checkSession(server, id, watched);
    const said = listed.flatMap((event) => (event.type === 'agent.message' ? [event.content] : []));
    expect(said).toEqual(says.map((text) => [{ type: 'text', text }]));
  }
  for (const { watched } of [tooling, thinking, resting]) watched.close();
});

async function open(): Promise<{ id: string; watched: Watch }> {
  const id = await makeSession(server);
  return { id, watched: await watch(server, id) };
}

/** The text that was previewed of the newest message. */
function previewsOf({ seen }: Watch): string {
  const start = seen.findLastIndex(({ frame }) => frame.type === 'event_start');
  return seen
    .slice(start)
    .map(({ frame }) =>
      frame.type === 'event_delta' && frame.delta.content.type === 'text' ? frame.delta.content.text : '',
    )
    .join('');
}
