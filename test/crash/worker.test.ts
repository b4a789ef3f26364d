/** The worker dies or hangs; nobody notices but the clock. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Entry } from '../../src/log.ts';
import {
  bash,
  checkSession,
  isIdle,
  isLogged,
  listAll,
  makeSession,
  measured,
  modelRequests,
  pause,
  say,
  script,
  toolResults,
  turn,
  watch,
} from '../support/crash-client.ts';
import { handFolders } from '../../scripts/sandboxes.ts';
import { commandStarted } from '../support/crash-hand.ts';
import {
  cleanUp,
  hang,
  makeDataDir,
  RECOVERED_WITHIN_MS,
  SILENT_MS,
  startCrashServer,
  type CrashServer,
} from '../support/crash-server.ts';
import { eventually, isAlive } from '../support/process.ts';
import { withSessions } from '../support/sessions.ts';

/** Of the model, between two tries; long enough for another worker to be there before it ends. */
const PAUSE_S = 10;
const KILLED_AFTER_S = 5;
/** The moment that is to be hit is short. */
const MOST_TRIES = 5;
const SLOW_TEXT = Array.from({ length: 40 }, (_, index) => `word${index}`).join(' ');

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir);
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

describe('a worker that is killed', () => {
  it('in a model call: the call is made again, its events come once', async () => {
    const session = await makeSession(server);
    const watched = await watch(server, session);
    const mark = `mark-${session}`;
    await say(server, session, `${mark}\n${script({ say: SLOW_TEXT, chunkChars: 10, chunkDelayMs: 60 })}`);
    const first = await watched.until('a preview', ({ type }) => type === 'event_delta');
    const killed = await server.kill('worker');
    const from = watched.seen.length;
    const again = await watched.until('the new attempt', ({ type }) => type === 'event_start', { from });
    const next = await watched.until('the next event', isLogged, { from });
    await watched.until('the end of the turn', isIdle, { from });
    measured('worker killed in a model call, to the new attempt', again.atMs - killed.atMs);
    measured('worker killed in a model call, to the next event', next.atMs - killed.atMs);

    expect(next.atMs - killed.atMs).toBeLessThan(RECOVERED_WITHIN_MS);
    expect(await modelRequests(server, mark)).toHaveLength(2);
    const listed = await checkSession(server, session, watched);
    const messages = listed.filter(({ type }) => type === 'agent.message');
    expect(messages).toHaveLength(1);
    expect(messages[0]).toMatchObject({ content: [{ type: 'text', text: SLOW_TEXT }] });

    const starts = watched.seen.flatMap(({ frame }) =>
      frame.type === 'event_start' ? [frame.event.id] : [],
    );
    expect(starts).toEqual([...new Set(starts)]);
    expect(starts).toHaveLength(2);
    expect(starts[1]).toBe(messages[0]?.id);
    const dead = watched.seen.filter(
      ({ frame }) => frame.type === 'event_delta' && frame.event_id === starts[0],
    );
    expect(dead[0]).toEqual(first);
    expect(dead.filter(({ atMs }) => atMs > again.atMs)).toEqual([]);
    watched.close();
  });

  it('while a tool runs: the command runs once, and its result is the normal one', async () => {
    const session = await makeSession(server);
    const watched = await watch(server, session);
    await say(
      server,
      session,
      script(bash('echo x >> f; sleep 5; echo slept'), { say: 'it said {{result}}' }),
    );
    await commandStarted(dataDir, session, 'f');
    const startedMs = Date.now();
    const killed = await server.kill('worker');
    const from = watched.seen.length;
    const result = await watched.until('the result', ({ type }) => type === 'agent.tool_result', { from });
    await watched.until('the end of the turn', isIdle, { from });
    const late = result.atMs - (startedMs + 5000);
    measured('worker killed in a tool call, to its result', result.atMs - killed.atMs);
    measured('  of that, after the command had ended', late);

    expect(late).toBeLessThan(RECOVERED_WITHIN_MS);
    expect(toolResults(watched.seen.map(({ frame }) => frame))).toEqual([{ text: 'slept', isError: false }]);
    const second = await turn(server, session, watched, script(bash('wc -l < f'), { say: 'ok' }));
    expect(toolResults(second)).toEqual([{ text: '1', isError: false }]);
    await checkSession(server, session, watched);
    watched.close();
  });
});

describe('a worker that is killed between two things', () => {
  it('in the pause before the next try of the model: the pause goes on, and is not begun anew', async () => {
    const session = await makeSession(server, []);
    const watched = await watch(server, session);
    const mark = `mark-${session}`;
    const fail = { fail: 429, retryAfter: PAUSE_S, times: 1 };
    await say(server, session, `${mark}\n${script(fail, { say: 'at last' })}`);
    const { atMs } = await watched.until('the pause', ({ type }) => type === 'session.status_rescheduled');
    await pause(KILLED_AFTER_S * 1000);
    const killed = await server.kill('worker');
    await watched.until('the end of the turn', isIdle);
    const [, again, ...more] = await modelRequests(server, mark);
    expect(more).toEqual([]);
    const askedMs = Date.parse(again?.received_at ?? '');
    measured(`worker killed in a pause of ${PAUSE_S} s, to its end`, askedMs - atMs);
    expect(askedMs - atMs).toBeGreaterThan(PAUSE_S * 1000 - 500);
    expect(askedMs).toBeLessThan(killed.atMs + PAUSE_S * 1000);
    const listed = await checkSession(server, session, watched);
    expect(listed.filter(({ type }) => type === 'session.status_rescheduled')).toHaveLength(1);
    watched.close();
  });

  it('while a hand is made: it is made once', async () => {
    const isHit = await Array.from({ length: MOST_TRIES }).reduce<Promise<boolean>>(
      async (before) => (await before) || (await killInProvisioning()),
      Promise.resolve(false),
    );
    expect(isHit).toBe(true);
  });
});

/** Answers whether the worker died before the hand was in the log. */
async function killInProvisioning(): Promise<boolean> {
  const session = await makeSession(server);
  const watched = await watch(server, session);
  await say(server, session, script(bash('echo x >> f; wc -l < f'), { say: 'ok' }));
  await eventually(
    'the first trace of a hand',
    async () => (await handFolders(dataDir, session)).length > 0,
    30_000,
  );
  const killed = await server.kill('worker');
  const isHand = ({ event }: Entry): boolean => event.type === 'x.hand_provisioned';
  const logged = async () =>
    (await withSessions(server, (sessions) => sessions.getEvents(session))).filter(isHand).length;
  const isHit = (await logged()) === 0;
  await watched.until('the end of the turn', isIdle);
  const listed = await checkSession(server, session, watched);
  expect(toolResults(listed)).toEqual([{ text: '1', isError: false }]);
  expect(await logged()).toBe(1);
  expect(await handFolders(dataDir, session)).toHaveLength(1);
  await server.back(killed);
  watched.close();
  return isHit;
}

describe('a worker that hangs', () => {
  it('in a model call until another attempt is due: the events come once', async () => {
    const session = await makeSession(server);
    const watched = await watch(server, session);
    await say(server, session, script({ say: SLOW_TEXT, chunkChars: 10, chunkDelayMs: 60 }));
    await watched.until('a preview', ({ type }) => type === 'event_delta');
    await hang(server, 'worker', () => pause(SILENT_MS));
    await watched.until('the end of the turn', isIdle);
    const listed = await checkSession(server, session, watched);
    expect(listed.filter(({ type }) => type === 'agent.message')).toHaveLength(1);
    watched.close();
  });

  it('in a tool call until another attempt is due: the command runs once', async () => {
    const session = await makeSession(server);
    const watched = await watch(server, session);
    const command = 'echo x >> f; sleep 9; wc -l < f';
    await say(server, session, script(bash(command), { say: 'it said {{result}}' }));
    await commandStarted(dataDir, session, 'f');
    await hang(server, 'worker', () => pause(SILENT_MS));
    await watched.until('the end of the turn', isIdle);
    const listed = await checkSession(server, session, watched);
    expect(toolResults(listed)).toEqual([{ text: '1', isError: false }]);
    watched.close();
  });
});

describe('a session without a worker', () => {
  it('can be read, watched and written while the worker hangs; then the turn runs', async () => {
    const session = await makeSession(server);
    const watched = await watch(server, session);
    await turn(server, session, watched, script({ say: 'before' }));
    const before = await listAll(server.api, session);
    await hang(server, 'worker', () => checkWithoutWorker(session, before));
    const resumedMs = Date.now();
    const end = await watched.until('the turn', isIdle, {
      from: watched.seen.findLastIndex(({ frame }) => isIdle(frame)) + 1,
    });
    measured('worker resumed, to the end of the turn', end.atMs - resumedMs);
    const listed = await checkSession(server, session, watched);
    expect(listed.slice(0, before.length)).toEqual(before);
    watched.close();
  });

  it('can be read, watched and written while the worker is down', async () => {
    const session = await makeSession(server);
    const watched = await watch(server, session);
    await turn(server, session, watched, script({ say: 'before' }));
    const before = await listAll(server.api, session);
    // Every death makes the supervisor wait longer before the next start.
    for (let deaths = 0; deaths < 5; deaths += 1) {
      const killed = await server.kill('worker');
      if (deaths < 4) await server.back(killed);
      else await eventually('the worker to be gone', () => !isAlive(killed.pid));
    }
    const idles = watched.seen.findLastIndex(({ frame }) => isIdle(frame)) + 1;
    await checkWithoutWorker(session, before);
    expect(isAlive(await server.pid('worker'))).toBe(false);
    await watched.until('the turn', isIdle, { from: idles });
    const listed = await checkSession(server, session, watched);
    expect(listed.slice(0, before.length)).toEqual(before);
    watched.close();
  });
});

async function checkWithoutWorker(session: string, before: readonly unknown[]): Promise<void> {
  const { api } = server;
  expect((await api.beta.sessions.retrieve(session)).status).toBe('idle');
  expect(await listAll(api, session)).toEqual(before);
  const late = await watch(server, session);
  const sent = await say(server, session, script({ say: 'after' }));
  expect(sent.data).toMatchObject([{ type: 'user.message', processed_at: null }]);
  const id = sent.data?.[0]?.id;
  await late.until('the message', (frame) => 'id' in frame && frame.id === id, { withinMs: 2000 });
  const listed = await listAll(api, session);
  expect(listed.slice(0, -1)).toEqual(before);
  expect(listed.at(-1)).toMatchObject({ id, processed_at: null });
  late.close();
}
