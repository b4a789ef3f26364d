/** The API process dies; clients that follow the recipe (open again, list, merge by id) see everything once. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_WORKSPACE_ID, type Records, type SessionRow } from '../../src/records.ts';
import { openRecords } from '../../src/records/open.ts';
import { sweep } from '../../src/sweeper.ts';
import type { Entry } from '../../src/log.ts';
import type { SessionSeed } from '../../src/session.ts';
import {
  bash,
  checkList,
  isIdle,
  isLogged,
  listAll,
  makeSession,
  measured,
  say,
  script,
  toolResults,
  turn,
  watch,
  type Event,
  type Watch,
} from '../support/crash-client.ts';
import { commandStarted } from '../support/crash-hand.ts';
import {
  cleanUp,
  hang,
  makeDataDir,
  startCrashServer,
  type CrashServer,
  type Killed,
} from '../support/crash-server.ts';
import { eventually } from '../support/process.ts';
import { withSessions } from '../support/sessions.ts';

const LONG_AGO = '2026-01-01T00:00:00.000000Z';

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir);
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

/** Waits until the API answers again, on the port that it had. */
async function healthyAgain(killed: Killed): Promise<number> {
  await server.back(killed);
  return await eventually('the API', async () => {
    const answer = await fetch(`${server.url}/healthz`).catch(() => undefined);
    return answer?.status === 200 && Date.now();
  });
}

/** What a client knows that opened a new stream, then listed, and puts everything together by id. */
async function merged(session: string, streams: readonly Watch[]): Promise<Event[]> {
  const known = new Map<string, Event>();
  for (const event of await listAll(server.api, session)) known.set(event.id, event);
  for (const { seen } of streams) {
    for (const { frame } of seen) if (isLogged(frame)) known.set(frame.id, frame);
  }
  return [...known.values()];
}

describe('an API that is killed', () => {
  for (const [what, lines] of Object.entries({
    'a model call': [{ say: 'a b c d e f g h i j k l m n o p', chunkChars: 2, chunkDelayMs: 200 }],
    'a tool call': [bash('touch started; sleep 3; echo slept'), { say: 'it said {{result}}' }],
  })) {
    it(`in ${what}: the turn goes on, and a client that comes back sees everything once`, async () => {
      const session = await makeSession(server);
      const first = await watch(server, session);
      await say(server, session, script(...lines));
      if (what === 'a tool call') await commandStarted(dataDir, session, 'started');
      else await first.until('a preview', ({ type }) => type === 'event_delta');
      const killed = await server.kill('api');
      await eventually('the stream to break', () => first.broken !== undefined);
      const upMs = await healthyAgain(killed);
      measured(`API killed in ${what}, to an API that answers`, upMs - killed.atMs);
      expect(upMs - killed.atMs).toBeLessThan(10_000);

      const second = await watch(server, session);
      const atOnce = await merged(session, [first, second]);
      if (!atOnce.some(isIdle)) await second.until('the end of the turn', isIdle);
      const all = await merged(session, [first, second]);
      const listed = await checkList(server, session);
      expect(all).toEqual(listed);
      const streamed = first.seen.map(({ frame }) => frame).filter(isLogged);
      expect(listed.slice(0, streamed.length)).toEqual(streamed);
      if (what === 'a tool call') expect(toolResults(listed)).toEqual([{ text: 'slept', isError: false }]);

      // The worker needs a moment until it has found the API again.
      await eventually('previews', async () => {
        const more = await turn(server, session, second, script({ say: 'more' }));
        return more.some(({ type }) => type === 'event_delta');
      });
      await checkList(server, session);
      second.close();
    });
  }
});

describe('an API and a worker', () => {
  it('of which the API dies with a message that nobody works on yet: it is there once, and is answered', async () => {
    const session = await makeSession(server);
    const isMessage = ({ event }: Entry): boolean => event.type === 'user.message';
    const killed = await hang(server, 'worker', async () => {
      const sending = say(server, session, script({ say: 'hello' }));
      await withSessions(server, (sessions) =>
        eventually('the message in the log', async () => (await sessions.getEvents(session)).some(isMessage)),
      );
      const killed = await server.kill('api');
      await Promise.allSettled([sending]);
      return killed;
    });
    await healthyAgain(killed);
    await eventually('the answer', async () => (await listAll(server.api, session)).some(isIdle), 30_000);
    const types = (await checkList(server, session)).map(({ type }) => type);
    expect(types.filter((type) => type === 'user.message' || type === 'agent.message')).toEqual([
      'user.message',
      'agent.message',
    ]);
  });

  it('that are killed together, in a model call and in a tool call: both turns go on', async () => {
    const [thinking, tooling] = [await makeSession(server), await makeSession(server)];
    const watched = await watch(server, thinking);
    const text = 'a b c d e f g h i j k l m n o p';
    await say(server, tooling, script(bash('echo x >> f; sleep 3; wc -l < f'), { say: 'ok' }));
    await commandStarted(dataDir, tooling, 'f');
    await say(server, thinking, script({ say: text, chunkChars: 2, chunkDelayMs: 200 }));
    await watched.until('a preview', ({ type }) => type === 'event_delta');
    const [killed, worker] = await Promise.all([server.kill('api'), server.kill('worker')]);
    await healthyAgain(killed);
    for (const id of [thinking, tooling])
      await eventually(
        'the end of the turn',
        async () => (await listAll(server.api, id)).some(isIdle),
        40_000,
      );
    measured('API and worker killed together, to the end of both turns', Date.now() - killed.atMs);
    const said = (await checkList(server, thinking)).flatMap((event) =>
      event.type === 'agent.message' ? [event.content] : [],
    );
    expect(said).toEqual([[{ type: 'text', text }]]);
    expect(toolResults(await checkList(server, tooling))).toEqual([{ text: '1', isError: false }]);
    await server.back(worker);
    watched.close();
  });
});

describe('sessions that an API left half made', () => {
  let records: Records;
  let like: SessionRow;
  let seed: SessionSeed;

  beforeAll(async () => {
    records = await openRecords({ kind: 'sqlite', path: join(dataDir, 'drover.db') });
    const session = await makeSession(server);
    const row = await records.sessions.get({ workspaceId: DEFAULT_WORKSPACE_ID, id: session });
    if (row === undefined) throw new Error('the session has no row');
    like = row;
    const [first] = await withSessions(server, (sessions) => sessions.getEvents(session));
    if (first?.event.type !== 'x.session_created') throw new Error('the log does not begin as it should');
    seed = { created: first.event, initial: [] };
  });

  afterAll(async () => {
    await records.close();
  });

  async function leave(state: SessionRow['state'], withLog: boolean): Promise<SessionRow> {
    const id = `sesn_${randomUUID().replaceAll('-', '')}`;
    const row: SessionRow = { ...like, id, createdAt: LONG_AGO, state };
    await records.sessions.insert(row);
    if (withLog) await withSessions(server, (sessions) => sessions.create(id, seed));
    return row;
  }

  it('are undone, or finished, or removed by the one that follows', async () => {
    const unborn = await leave('creating', false);
    const born = await leave('creating', true);
    const doomed = await leave('deleting', true);
    for (const { id } of [unborn, born, doomed])
      await expect(server.api.beta.sessions.retrieve(id)).rejects.toMatchObject({ status: 404 });

    await healthyAgain(await server.kill('api'));

    await eventually('the sweep', async () => (await records.sessions.get(unborn)) === undefined);
    await eventually('the sweep', async () => (await records.sessions.get(born))?.state === 'ready');
    await eventually('the sweep', async () => (await records.sessions.get(doomed)) === undefined);
    expect((await server.api.beta.sessions.retrieve(born.id)).status).toBe('idle');
    const watched = await watch(server, born.id);
    await turn(server, born.id, watched, script({ say: 'hello' }));
    watched.close();
    await withSessions(server, async (sessions) => {
      await expect(sessions.getSession(doomed.id)).rejects.toThrow(/no session/);
    });
  });

  it('are left alone while they are young', async () => {
    const young = { ...(await leave('creating', false)), createdAt: new Date().toISOString() };
    await records.sessions.delete(young);
    await records.sessions.insert(young);
    await withSessions(server, async (sessions) => {
      const deps = { records, sessions };
      await sweep({ ...deps, log: { info() {}, warn() {}, error() {} } });
      expect(await records.sessions.get(young)).toBeDefined();
      await sweep({ ...deps, log: { info() {}, warn() {}, error() {} } }, Date.now() + 120_000);
      expect(await records.sessions.get(young)).toBeUndefined();
    });
  });

  it('are all or nothing when the API dies under a burst of creations', async () => {
    const { agentId: agent, environmentId: environment_id } = like;
    const creations = Array.from({ length: 24 }, () =>
      server.api.beta.sessions.create({
        agent,
        environment_id,
        initial_events: [{ type: 'user.message', content: [{ type: 'text', text: 'hello' }] }],
      }),
    );
    await Promise.race(creations);
    const killed = await server.kill('api');
    const settled = await Promise.allSettled(creations);
    await healthyAgain(killed);
    const answered = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value.id] : []));
    expect(answered.length).toBeGreaterThan(0);
    expect(answered.length).toBeLessThan(settled.length);
    await withSessions(server, async (sessions) => {
      await sweep({ records, sessions, log: { info() {}, warn() {}, error() {} } }, Date.now() + 120_000);
    });
    expect(await records.sessions.listByState('creating', 100)).toEqual([]);
    const shown: string[] = [];
    for await (const { id } of server.api.beta.sessions.list({ limit: 100 })) shown.push(id);
    expect(shown).toEqual(expect.arrayContaining(answered));
    for (const id of shown)
      if (id !== like.id)
        await eventually(
          `${id} to rest`,
          async () => (await server.api.beta.sessions.retrieve(id)).status === 'idle',
        );
    for (const id of answered) await checkList(server, id);
  });
});
