/** What this server has beyond the wire (docs/extensions.md): the log by position, read, followed and as a context. */
import { afterEach, describe, expect, it } from 'vitest';
import { send, server, unique } from '../support/client.ts';
import { framesOf, type Frame } from '../support/frames.ts';
import {
  message,
  modelRequests,
  only,
  script,
  typesOf,
  useTestbed,
  type ListedEvent,
} from '../support/turns.ts';

const bed = useTestbed();
const { client } = bed;
const { sessions } = client.beta;

interface Placed {
  readonly position: number;
  readonly event: ListedEvent;
}
interface SliceBody {
  readonly data: Placed[];
  readonly next: number | null;
  readonly length: number;
}

const open = new Set<AbortController>();
afterEach(() => {
  for (const controller of open) controller.abort();
  open.clear();
});

async function slice(id: string, query: Record<string, unknown> = {}): Promise<SliceBody> {
  return await client.get<SliceBody>(`/v1/x/sessions/${id}/events`, { query });
}

/** All pages of a slice. */
async function pages(id: string, query: { order: 'asc' | 'desc'; limit: number }): Promise<Placed[]> {
  const seen: Placed[] = [];
  for (let at = {}; ;) {
    const { data, next } = await slice(id, { ...query, ...at });
    seen.push(...data);
    if (next === null) return seen;
    expect(data).toHaveLength(query.limit);
    at = query.order === 'asc' ? { from: next } : { to: next };
  }
}

/** A connection to the stream, and how to break it. */
async function connect(
  id: string,
  query: string,
  headers: Record<string, string> = {},
): Promise<{ frames: AsyncGenerator<Frame, void, undefined>; cut: () => void }> {
  const controller = new AbortController();
  open.add(controller);
  const { url, apiKey } = server();
  const answer = await fetch(`${url}/v1/x/sessions/${id}/events/stream${query}`, {
    headers: { 'x-api-key': apiKey, ...headers },
    signal: controller.signal,
  });
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
  expect(answer.headers.get('request-id')).toMatch(/^req_/);
  return { frames: framesOf(answer), cut: () => controller.abort() };
}

/** Reads up to the first frame of a type, or to the end. */
async function readTo(frames: AsyncGenerator<Frame, void, undefined>, type?: string): Promise<Frame[]> {
  const seen: Frame[] = [];
  for (;;) {
    const { value } = await frames.next();
    if (!value) return seen;
    seen.push(value);
    if (value.type === type) return seen;
  }
}

/** The frames of the log, in the form of a slice. */
function placed(frames: readonly Frame[]): Placed[] {
  return frames.flatMap(({ id, data }) =>
    id === undefined ? [] : [{ position: id, event: data as unknown as ListedEvent }],
  );
}

describe('a slice of the log', () => {
  it('is what the stream showed, and in its current forms what the list shows', async () => {
    const live = await bed.live();
    const long = 'A text that is too long to be kept in the history itself. '.repeat(500);
    await live.turn(
      script({ say: long }, { call: 'bash', input: { command: 'echo hello' } }, { say: 'done' }),
    );
    await live.turn(script({ say: 'again' }));
    const all = await slice(live.id);

    expect(all.data.map(({ event }) => event)).toEqual(live.events);
    const current = new Map(all.data.map(({ event }) => [event.id, event]));
    const listed = await live.list();
    expect(new Map(listed.map((event) => [event.id, event]))).toEqual(current);
    expect(all.next).toBeNull();
    const positions = all.data.map(({ position }) => position);
    expect(positions).toEqual([...new Set(positions)].toSorted((a, b) => a - b));
    // The session's creation, its sandbox and what that kept of its files are in the log and not on the wire.
    expect(all.length).toBe(all.data.length + 3);

    expect(await pages(live.id, { order: 'asc', limit: 3 })).toEqual(all.data);
    expect(await pages(live.id, { order: 'desc', limit: 4 })).toEqual(all.data.toReversed());
    const messages = await slice(live.id, { types: ['agent.message'], from: 2 });
    expect(messages.data.map(({ event }) => event)).toEqual(only(listed, 'agent.message'));
  });

  it('refuses what is not a position, by name', async () => {
    const { id } = await bed.create();
    const { status, body } = await send('GET', `/v1/x/sessions/${id}/events?to=2`);
    expect(status).toBe(400);
    expect(body).toMatchObject({
      type: 'error',
      error: { type: 'invalid_request_error', message: expect.stringMatching(/^to: .* 1 entries$/) },
      request_id: expect.stringMatching(/^req_/),
    });
  });
});

describe('a stream with positions', () => {
  it('cut in the middle of a turn and resumed, it gives each position once', async () => {
    const { id } = await bed.create();
    const first = await connect(id, '?after=-1');
    const steps = [1, 2, 3].map((n) => ({ call: 'bash', input: { command: `sleep 0.2; echo step ${n}` } }));
    await sessions.events.send(id, { events: [message(script(...steps, { say: 'all done' }))] });
    const before = placed(await readTo(first.frames, 'agent.tool_result'));
    first.cut();

    const last = String(before.at(-1)?.position);
    const second = await connect(id, '', { 'last-event-id': last });
    const after = placed(await readTo(second.frames, 'session.status_idle'));
    const { data } = await slice(id);
    expect([...before, ...after]).toEqual(data);
    expect(
      only(
        data.map(({ event }) => event),
        'agent.tool_result',
      ),
    ).toHaveLength(3);

    const third = await connect(id, `?after=${last}`, { 'last-event-id': '0' });
    expect(placed(await readTo(third.frames, 'session.status_idle'))).toEqual(after);
  });

  it('replays a terminated session and ends', async () => {
    const live = await bed.live();
    await live.turn(script({ say: 'the only answer' }));
    await sessions.archive(live.id);
    const { data, length } = await slice(live.id);
    const { frames } = await connect(live.id, '?after=-1');
    const seen = await readTo(frames);

    await live.ended;
    expect(placed(seen)).toEqual(data);
    expect(typesOf(seen)).toEqual(['ping', ...typesOf(live.events)]);
    expect(seen.at(-1)?.type).toBe('session.status_terminated');
    const rest = await connect(live.id, `?after=${length - 1}`);
    expect(typesOf(await readTo(rest.frames))).toEqual(['ping']);
  });

  it('follows from the end without a cursor, and says that the session was deleted', async () => {
    const live = await bed.live();
    await live.turn(script({ say: 'before' }));
    const { length } = await slice(live.id);
    const { frames } = await connect(live.id, '');
    await live.turn(script({ say: 'after' }));
    const seen = await readTo(frames, 'session.status_idle');
    expect(placed(seen)).toEqual((await slice(live.id, { from: length })).data);

    await sessions.delete(live.id);
    const [deleted, ...more] = await readTo(frames);
    expect(deleted).toMatchObject({ id: undefined, type: 'session.deleted' });
    expect(more).toEqual([]);
  });

  it('shows previews beside the log, and none of a message that had begun before', async () => {
    const live = await bed.live({}, ['agent.message']);
    const slow = { say: 'One word after the other, slowly, to the end.', chunkChars: 4, chunkDelayMs: 80 };
    await live.send(message(script(slow)));
    await live.next('event_delta');
    const { frames } = await connect(live.id, '?after=-1&event_deltas[]=agent.message');
    await live.send(message(script({ ...slow, say: 'And a second one.' })));
    const seen = [
      ...(await readTo(frames, 'agent.message')),
      ...(await readTo(frames, 'agent.message')),
      ...(await readTo(frames, 'session.status_idle')),
    ];

    expect(placed(seen)).toEqual((await slice(live.id)).data);
    const previews = seen.filter(({ type }) => type.startsWith('event_'));
    expect(previews.map(({ id }) => id)).toEqual(previews.map(() => undefined));
    const [, second] = seen.filter(({ type }) => type === 'agent.message');
    const previewed = previews.map(({ data }) => data['event_id'] ?? (data['event'] as { id: string }).id);
    expect(new Set(previewed)).toEqual(new Set([second?.data['id']]));
  });
});

describe('the context at a position', () => {
  it('is what the model was sent', async () => {
    const mark = unique('context');
    const live = await bed.live();
    const long = `${mark} ${'and on and on '.repeat(2000)}`;
    await live.turn(
      script(
        { think: 'Let me see.' },
        { say: long },
        { call: 'bash', input: { command: `echo ${mark}` } },
        { say: 'The tool said {{result}}' },
      ),
    );
    await live.turn('And now?');
    const received = await modelRequests(mark);
    const { data } = await slice(live.id, { types: ['span.model_request_start'] });
    expect(received).toHaveLength(data.length);
    expect(data.length).toBeGreaterThanOrEqual(3);
    for (const [index, { position }] of data.entries()) {
      const context = await client.get(`/v1/x/sessions/${live.id}/context`, {
        query: { position: position + 1 },
      });
      expect(context).toEqual({ position: position + 1, request: received[index]?.body });
    }
  });

  it('is of the whole log where no position is named, and null before anything was said', async () => {
    const mark = unique('whole');
    const live = await bed.live();
    const path = `/v1/x/sessions/${live.id}/context`;
    expect(await client.get(path)).toEqual({ position: 1, request: null });
    await live.turn(script({ say: mark }));
    const { length } = await slice(live.id);
    const context = await client.get<{ position: number; request: { messages: object[] } }>(path);
    expect(context.position).toBe(length);
    expect(context.request.messages.at(-1)).toMatchObject({
      role: 'assistant',
      content: [{ type: 'text', text: mark }],
    });
    expect(await modelRequests(mark)).toHaveLength(1);
  });
});
