import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { mountExtensions } from '../../src/http/routes/extensions.ts';
import type { Draft, Entry } from '../../src/log.ts';
import type { PreviewMessage } from '../../src/previews.ts';
import { DEFAULT_WORKSPACE_ID, type SessionRow } from '../../src/records.ts';
import { openRecords } from '../../src/records/open.ts';
import { createTestPlane, failureOf, type TestPlane } from '../support/control-plane.ts';
import { created, said } from '../support/conversation.ts';
import { framesOf, numberedOf, type Frame } from '../support/frames.ts';
import {
  completed,
  createFakeSource,
  ENDED,
  signaled,
  started,
  type FakeSource,
} from '../support/history.ts';
import { MoveRefusedError, MoveUnderWayError, type Moves } from '../../src/session/moves.ts';
import { readSessions } from '../support/read-sessions.ts';

const PATH = '/v1/x/sessions/sesn_1';
const RUN = 'run-1';
const TERMINATED: Draft = { event: { id: 'end', type: 'session.status_terminated' } };

const running = (id: string): Draft => ({ event: { id, type: 'session.status_running' } });
const thinking = (id: string): Draft => ({ event: { id, type: 'agent.thinking' } });
const hidden = (id: string): Draft => ({
  event: { id, type: 'x.hand_failed', reason: 'no room' },
});

/** An answer of the slice endpoint. */
interface SliceBody {
  readonly data: readonly { readonly position: number; readonly event: Record<string, unknown> }[];
  readonly next: number | null;
  readonly length: number;
}

interface World extends TestPlane {
  readonly source: FakeSource;
  readonly listeners: Set<(message: PreviewMessage) => void>;
  /** What the context was asked to be made of. */
  readonly asked: (readonly Entry[])[];
  readonly moves: Moves;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  slice(query?: string): Promise<SliceBody>;
}

/** Moves of a session that is on Temporal, unless a test says otherwise. */
function fakeMoves(): Moves {
  return {
    where: async () => ({ engine: 'temporal', movingTo: undefined }),
    begin: async () => undefined,
    revive: async () => false,
    carry: async () => undefined,
    carryFor: async () => ({ engine: 'temporal', movingTo: undefined }),
    carryAll: async () => undefined,
    stop: () => undefined,
  };
}

/** One session, `sesn_1`, whose log begins with its creation: position 0, hidden. */
async function createWorld(): Promise<World> {
  const source = createFakeSource({ pageSize: 100 });
  source.add(RUN, [started([created()])]);
  const listeners: World['listeners'] = new Set();
  const moves = fakeMoves();
  const asked: (readonly Entry[])[] = [];
  const records = await openRecords({ kind: 'sqlite', path: ':memory:' });
  const plane = await createTestPlane({
    records,
    mount: (app) =>
      mountExtensions(app, {
        records,
        sessions: readSessions(source),
        previews: {
          listen(_, listener) {
            listeners.add(listener);
            return () => listeners.delete(listener);
          },
          close: async () => undefined,
        },
        now: () => '2026-11-26T12:00:00.000000Z',
        moves,
        verify: async () => ({ length: 0, segments: [], damage: undefined }),
        contextOf(entries) {
          asked.push(entries);
          return entries.length > 1 ? { made_of: entries.length } : undefined;
        },
      }),
  });
  const agent = await plane.client.beta.agents.create({ name: 'a', model: 'm' });
  const environment = await plane.client.beta.environments.create({ name: 'e' });
  const row: SessionRow = {
    workspaceId: DEFAULT_WORKSPACE_ID,
    id: 'sesn_1',
    agentId: agent.id,
    agentVersion: 1,
    environmentId: environment.id,
    deploymentId: null,
    createdAt: agent.created_at,
    archivedAt: null,
    state: 'ready',
  };
  await records.sessions.insert(row);
  const get: World['get'] = (path, headers) => plane.send('GET', path, undefined, headers);
  const slice: World['slice'] = async (query = '') => {
    const answer = await get(`${PATH}/events${query}`);
    expect(answer.status).toBe(200);
    return (await answer.json()) as SliceBody;
  };
  return { ...plane, source, listeners, asked, moves, get, slice };
}

async function problemOf(answer: Response): Promise<string> {
  expect(answer.status).toBe(400);
  const body = (await answer.json()) as { error: { type: string; message: string }; request_id: string };
  expect(body.error.type).toBe('invalid_request_error');
  expect(answer.headers.get('request-id')).toBe(body.request_id);
  return body.error.message;
}

async function readAll(response: Response): Promise<Frame[]> {
  expect(response.status).toBe(200);
  const frames: Frame[] = [];
  for await (const frame of framesOf(response)) frames.push(frame);
  return frames;
}

const positions = ({ data }: SliceBody): number[] => data.map(({ position }) => position);
const ids = (frames: readonly Frame[]): (number | undefined)[] => frames.map(({ id }) => id);

let world: World;
beforeEach(async () => {
  world = await createWorld();
});

/** Positions: 0 created (hidden), 1 m queued, 2 running, 3 m taken up, 4 hidden, 5 thinking, 6 n queued. */
function fill({ source }: World): void {
  source.add(RUN, [
    signaled([said('m', 'hi')]),
    completed([running('r'), { processed: 'm' }, hidden('h'), thinking('t')]),
    signaled([said('n', 'more')]),
  ]);
}

describe('every extension', () => {
  const paths = [`${PATH}/events`, `${PATH}/events/stream`, `${PATH}/context`];
  const allPaths = [PATH, ...paths];

  it.each(allPaths)('%s needs a key, and shows no session to another workspace', async (path) => {
    const anonymous = await world.app.request(`http://drover.test${path}`);
    expect(anonymous.status).toBe(401);
    expect(anonymous.headers.get('request-id')).toMatch(/^req_/);
    const other = await world.otherClient();
    expect(await failureOf(other.get(path))).toMatchObject({ status: 404, type: 'not_found_error' });
    const unknown = await failureOf(world.client.get(path.replace('sesn_1', 'sesn_2')));
    expect(unknown).toMatchObject({ status: 404, type: 'not_found_error' });
    expect(unknown.message).toContain('sesn_2');
  });

  it.each(paths)('%s is a 404 when the log is gone', async (path) => {
    world.source.vanish();
    expect(await failureOf(world.client.get(path))).toMatchObject({ status: 404 });
  });

  it.each([
    ['events?from=-1', 'from: must be greater than or equal to 0'],
    ['events?from=1.5', 'from: Input should be a valid integer'],
    ['events?from=one', 'from: Input should be a valid integer'],
    ['events?to=-1', 'to: must be greater than or equal to 0'],
    ['events?to=8', 'to: is beyond the end of the log, which has 7 entries'],
    ['events?from=3&to=2', 'from: must be less than or equal to `to`'],
    ['events?from=9&to=8', 'from: must be less than or equal to `to`'],
    ['events?order=up', 'order: '],
    ['events?limit=0', 'limit: must be greater than or equal to 1'],
    ['events?limit=1001', 'limit: must be less than or equal to 1000'],
    ['events?types[]=x.hand_failed', 'types[0]: '],
    ['events?types[]=nobody', 'types[0]: '],
    ['events/stream?after=-2', 'after: must be greater than or equal to -1'],
    ['events/stream?after=1.5', 'after: Input should be a valid integer'],
    ['events/stream?after=last', 'after: Input should be a valid integer'],
    ['events/stream?after=7', 'after: is beyond the end of the log, which has 7 entries'],
    ['events/stream?event_deltas[]=bogus', 'event_deltas[0]: '],
    ['context?position=-1', 'position: must be greater than or equal to 0'],
    ['context?position=8', 'position: is beyond the end of the log, which has 7 entries'],
    ['context?position=all', 'position: Input should be a valid integer'],
  ])('refuses %s', async (query, message) => {
    fill(world);
    expect(await problemOf(await world.get(`${PATH}/${query}`))).toContain(message);
  });

  it.each([
    ['-2', 'Last-Event-ID: must be greater than or equal to -1'],
    ['sevt_1', 'Last-Event-ID: Input should be a valid integer'],
    ['7', 'Last-Event-ID: is beyond the end of the log, which has 7 entries'],
  ])('refuses Last-Event-ID %s', async (value, message) => {
    fill(world);
    const answer = await world.get(`${PATH}/events/stream`, { 'last-event-id': value });
    expect(await problemOf(answer)).toContain(message);
  });
});

describe('a slice', () => {
  it('shows each event as it stands at its position, and never a hidden one', async () => {
    fill(world);
    const all = await world.slice();
    expect(all.data.map(({ position, event }) => [position, event['id']])).toEqual([
      [1, 'm'],
      [2, 'r'],
      [3, 'm'],
      [5, 't'],
      [6, 'n'],
    ]);
    expect(all.data[0]?.event).toEqual({
      id: 'm',
      type: 'user.message',
      content: [{ type: 'text', text: 'hi' }],
      processed_at: null,
    });
    expect(all.data[2]?.event).toEqual({
      ...all.data[0]?.event,
      processed_at: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    expect(all).toMatchObject({ next: null, length: 7 });
  });

  it('begins at `from`, ends before `to`, and goes both ways', async () => {
    fill(world);
    expect(positions(await world.slice('?from=2&to=6'))).toEqual([2, 3, 5]);
    expect(positions(await world.slice('?from=2&to=6&order=desc'))).toEqual([5, 3, 2]);
    expect(positions(await world.slice('?to=2'))).toEqual([1]);
    expect(positions(await world.slice('?from=6'))).toEqual([6]);
    for (const query of ['?from=3&to=3', '?from=7', '?from=100', '?from=4&to=5'])
      expect(await world.slice(query)).toEqual({ data: [], next: null, length: 7 });
  });

  it('takes unknown and empty parameters as every list does', async () => {
    fill(world);
    expect(await world.slice('?unknown=1&from=&to=&limit=')).toEqual(await world.slice());
  });

  it('filters by type, and the limit counts what is shown', async () => {
    fill(world);
    const first = await world.slice('?types[]=user.message&limit=2');
    expect(positions(first)).toEqual([1, 3]);
    expect(positions(await world.slice(`?types=user.message&limit=2&from=${first.next}`))).toEqual([6]);
    expect(await world.slice('?limit=5')).toMatchObject({ next: null });
  });

  it('adds up to the log in pages of any size, also while it grows', async () => {
    const kinds = fc.array(fc.constantFrom(running, hidden), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(kinds, fc.integer({ min: 1, max: 4 }), fc.boolean(), async (drafts, limit, asc) => {
        const one = await createWorld();
        one.source.add(RUN, [completed(drafts.map((draft, at) => draft(`e${at}`)))]);
        const expected = drafts.flatMap((draft, at) => (draft === running ? [at + 1] : []));
        const seen: number[] = [];
        let edge = asc ? 0 : drafts.length + 1;
        for (let next: number | null = edge; next !== null; edge = next ?? edge) {
          const bounds = asc ? `from=${edge}&to=${drafts.length + 1}` : `to=${edge}&order=desc`;
          const page = await one.slice(`?${bounds}&limit=${limit}`);
          expect(page.data.length).toBe(page.next === null ? page.data.length : limit);
          seen.push(...positions(page));
          if (seen.length > expected.length) throw new Error(`too many: ${seen.join(', ')}`);
          next = page.next;
          one.source.add(RUN, [completed([running(`later${seen.length}`)])]);
        }
        expect(seen).toEqual(asc ? expected : expected.reverse());
      }),
      { numRuns: 40 },
    );
  });
});

describe('a stream that can be resumed', () => {
  const end = ({ source }: World): void => source.add(RUN, [completed([TERMINATED]), ENDED]);

  it('has the frames of the wire, with the position of each event as its id', async () => {
    fill(world);
    end(world);
    const text = await (await world.get(`${PATH}/events/stream?after=4`)).text();
    const [thought, waiting, over] = (await world.slice('?from=5')).data.map(({ event }) => event);
    expect(text).toBe(
      [
        'event: ping\ndata: {"type":"ping"}\n\n',
        `id: 5\nevent: agent.thinking\ndata: ${JSON.stringify(thought)}\n\n`,
        `id: 6\nevent: user.message\ndata: ${JSON.stringify(waiting)}\n\n`,
        `id: 7\nevent: session.status_terminated\ndata: ${JSON.stringify(over)}\n\n`,
      ].join(''),
    );
  });

  it.each<[string, Record<string, string>, number[]]>([
    ['?after=-1', {}, [1, 2, 3, 5, 6, 7]],
    ['?after=0', {}, [1, 2, 3, 5, 6, 7]],
    ['', { 'last-event-id': '3' }, [5, 6, 7]],
    ['?after=5', { 'last-event-id': '3' }, [6, 7]],
    ['?after=5', { 'last-event-id': 'nonsense' }, [6, 7]],
    ['?after=', { 'last-event-id': '5' }, [6, 7]],
    ['?after=7', {}, []],
    ['', {}, []],
    ['', { 'last-event-id': '' }, []],
  ])(
    '%s with %j gives what is behind the cursor and ends with the session',
    async (query, headers, expected) => {
      fill(world);
      end(world);
      const frames = await readAll(await world.get(`${PATH}/events/stream${query}`, headers));
      expect(ids(frames)).toEqual([undefined, ...expected]);
    },
  );

  it('ends on a terminated session whose workflow was not closed yet', async () => {
    world.source.add(RUN, [completed([TERMINATED])]);
    expect(ids(await readAll(await world.get(`${PATH}/events/stream?after=-1`)))).toEqual([undefined, 1]);
    expect(ids(await readAll(await world.get(`${PATH}/events/stream?after=1`)))).toEqual([undefined]);
  });

  it('without a cursor follows from the end', async () => {
    fill(world);
    const response = await world.get(`${PATH}/events/stream`);
    end(world);
    expect(ids(await readAll(response))).toEqual([undefined, 7]);
  });

  it('says that the session was deleted, in a frame without an id', async () => {
    fill(world);
    const response = await world.get(`${PATH}/events/stream?after=5`);
    await world.records.sessions.setState({ workspaceId: DEFAULT_WORKSPACE_ID, id: 'sesn_1' }, 'deleting');
    world.source.vanish();
    const frames = await readAll(response);
    expect(frames.map(({ id, type }) => [id, type])).toEqual([
      [undefined, 'ping'],
      [6, 'user.message'],
      [undefined, 'session.deleted'],
    ]);
  });

  it('shows previews of a span that began before the connection, once its start has been replayed', async () => {
    const spanStart: Draft = { event: { id: 's1', type: 'span.model_request_start' } };
    const content = [{ type: 'text' as const, text: 'ab' }];
    world.source.add(RUN, [completed([spanStart])]);
    const response = await world.get(`${PATH}/events/stream?after=-1&event_deltas[]=agent.message`);
    const show = (frame: PreviewMessage['frame']): void =>
      world.listeners.forEach((listener) => listener({ sessionId: 'sesn_1', spanId: 's1', frame }));
    const delta = (event_id: string, text: string): PreviewMessage['frame'] => ({
      type: 'event_delta',
      event_id,
      delta: { type: 'content_delta', index: 0, content: { type: 'text', text } },
    });
    // Nothing has been read yet, so nothing has been replayed. The start of `early` was before the connection.
    show(delta('early', 'x'));
    show({ type: 'event_start', event: { type: 'agent.message', id: 'a' } });
    show(delta('a', 'a'));
    const frames = framesOf(response);
    const seen: Frame[] = [];
    const read = async (count: number): Promise<void> => {
      for (let at = 0; at < count; at += 1) seen.push((await frames.next()).value as Frame);
    };
    await read(4);
    show(delta('a', 'b'));
    await read(1);
    world.source.add(RUN, [completed([{ event: { id: 'a', type: 'agent.message', content } }])]);
    await read(1);
    show(delta('a', 'too late'));
    end(world);
    await read(1);
    expect((await frames.next()).done).toBe(true);
    expect(seen.map(({ id, type, data }) => [id, type, data['event_id']])).toEqual([
      [undefined, 'ping', undefined],
      [1, 'span.model_request_start', undefined],
      [undefined, 'event_start', undefined],
      [undefined, 'event_delta', 'a'],
      [undefined, 'event_delta', 'a'],
      [2, 'agent.message', undefined],
      [3, 'session.status_terminated', undefined],
    ]);
    expect(world.listeners.size).toBe(0);
  });

  it('neither loses nor repeats a position, wherever it is opened and cut', async () => {
    const kind = fc.constantFrom<'server' | 'client' | 'hidden'>('server', 'server', 'client', 'hidden');
    const kinds = fc.array(kind, { maxLength: 6 });
    const step = fc.oneof(
      fc.record({ append: kinds }),
      fc.record({ appendWhileWaiting: kinds }),
      fc.record({ take: fc.integer({ min: 1, max: 9 }) }),
      fc.constant({ cut: true }),
    );
    const opening = fc.option(fc.nat(), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(kinds, opening, fc.array(step, { maxLength: 12 }), async (before, cursor, steps) => {
        const one = await createWorld();
        const log = ['hidden'];
        const append = (added: readonly string[]): void => {
          for (const what of added) {
            const id = `e${log.push(what)}`;
            const draft = what === 'hidden' ? hidden(id) : running(id);
            one.source.add(RUN, [what === 'client' ? signaled([said(id, 'hi')]) : completed([draft])]);
          }
        };
        const behind = (position: number): number[] =>
          log.flatMap((what, at) => (what === 'hidden' || at <= position ? [] : [at]));
        append(before);
        // -1 is the beginning; without a cursor a stream begins at the end.
        const first = cursor === undefined ? log.length - 1 : (cursor % (log.length + 1)) - 1;
        const seen: number[] = [];
        const open = async (headers: Record<string, string>) =>
          numberedOf(await one.get(`${PATH}/events/stream`, headers));
        let frames = await open(cursor === undefined ? {} : { 'last-event-id': String(first) });
        const last = (): number => seen.at(-1) ?? first;
        const take = async (): Promise<void> => {
          const { value } = await frames.next();
          if (value) seen.push(value.id);
        };

        for (const what of steps) {
          if ('append' in what) append(what.append);
          else if ('take' in what)
            for (let left = Math.min(what.take, behind(last()).length); left > 0; left -= 1) await take();
          else if ('appendWhileWaiting' in what) {
            const waiting = take();
            append([...what.appendWhileWaiting, 'server']);
            await waiting;
          } else {
            await frames.return();
            frames = await open({ 'last-event-id': String(last()) });
          }
        }
        log.push('server');
        end(one);
        for await (const { id } of frames) seen.push(id);
        expect(seen).toEqual(behind(first));
      }),
      { numRuns: 60 },
    );
  });
});

describe('a context', () => {
  it('is made of the first entries, hidden ones too, by default of all', async () => {
    fill(world);
    const read = async (query: string): Promise<unknown> =>
      (await world.get(`${PATH}/context${query}`)).json();
    expect(await read('?position=4')).toEqual({ position: 4, request: { made_of: 4 } });
    expect(await read('')).toEqual({ position: 7, request: { made_of: 7 } });
    expect(world.asked.map((entries) => entries.map(({ position }) => position))).toEqual([
      [0, 1, 2, 3],
      [0, 1, 2, 3, 4, 5, 6],
    ]);
  });

  it('is null where nothing has been said yet', async () => {
    for (const position of [0, 1])
      expect(await (await world.get(`${PATH}/context?position=${position}`)).json()).toEqual({
        position,
        request: null,
      });
  });
});

describe('a move', () => {
  const move = (body: object): Promise<Response> => world.send('POST', `${PATH}/move`, JSON.stringify(body));
  const on = (engine: string, moving_to: string | null) => ({
    id: 'sesn_1',
    type: 'session_engine',
    engine,
    moving_to,
  });

  it('is begun, waited for, and said to be over', async () => {
    const done: unknown[] = [];
    world.moves.begin = async (...args) => void done.push(args);
    world.moves.carryFor = async (id) => {
      done.push(id);
      return { engine: 'log', movingTo: undefined };
    };
    const answer = await move({ to: 'log' });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual(on('log', null));
    expect(done).toEqual([['sesn_1', 'log'], 'sesn_1']);
  });

  it('that takes longer is under way: 202', async () => {
    const now = { engine: 'temporal', movingTo: 'log' } as const;
    world.moves.carryFor = async () => now;
    world.moves.where = async () => now;
    const answer = await move({ to: 'log' });
    expect(answer.status).toBe(202);
    expect(await answer.json()).toEqual(on('temporal', 'log'));
    expect(await (await world.get(PATH)).json()).toEqual(on('temporal', 'log'));
  });

  it.each([
    [{ to: 'mars' }, 'to: '],
    [{}, 'to: Field required'],
    [{ to: 'log', now: true }, 'now: '],
  ])('is refused for %j', async (body, message) => {
    expect(await problemOf(await move(body))).toContain(message);
  });

  it('is refused where there is no such engine, while another is under way, and at the end', async () => {
    world.moves.begin = async () => {
      throw new MoveRefusedError('this server has no Temporal');
    };
    expect(await problemOf(await move({ to: 'temporal' }))).toBe('to: this server has no Temporal');
    world.moves.begin = async () => {
      throw new MoveUnderWayError('session sesn_1 is being moved to the log engine');
    };
    const conflict = await move({ to: 'temporal' });
    expect(conflict.status).toBe(409);
    expect(conflict.headers.get('x-should-retry')).toBe('false');
    world.source.add(RUN, [completed([TERMINATED]), ENDED]);
    expect(await problemOf(await move({ to: 'log' }))).toContain('is terminated');
  });
});
