/** Conformance checks 8 to 18: sessions, their events, their stream. */
import { NotFoundError } from '@anthropic-ai/sdk';
import { describe, expect, it } from 'vitest';
import { collect, failureOf } from '../support/control-plane.ts';
import { server, unique } from '../support/client.ts';
import {
  message,
  modelRequests,
  only,
  script,
  textOf,
  typesOf,
  untilIdle,
  useTestbed,
  type ListedEvent,
} from '../support/turns.ts';

const bed = useTestbed();
const { client, calls } = bed;
const { sessions } = client.beta;

/** A turn of one model request, as the stream shows it from the sending on. */
const TEXT_TURN = [
  'user.message',
  'session.status_running',
  'session.thread_status_running',
  'user.message',
  'span.model_request_start',
  'agent.message',
  'span.model_request_end',
  'session.thread_status_idle',
  'session.usage',
  'session.status_idle',
];

describe('sessions and events', () => {
  it('check 8: a session without events rests and asks no model', async () => {
    const mark = unique('silent');
    const agent = await bed.agent({ system: mark });
    const live = await bed.live({ agent: agent.id, title: 'quiet', metadata: { a: '1' } });

    expect(live.session).toMatchObject({ status: 'idle', title: 'quiet', metadata: { a: '1' } });
    expect(live.session.agent).toMatchObject({ id: agent.id, version: 1, system: mark });
    expect(await live.list()).toEqual([]);
    expect(await modelRequests(mark)).toEqual([]);
    await live.turn(script({ say: 'first' }));
    expect(await modelRequests(mark)).toHaveLength(1);
  });

  it('check 9: with initial events a session is born running', async () => {
    const session = await bed.create({ initial_events: [message(script({ say: 'born' })) as never] });
    expect(session.status).toBe('running');
    expect(Object.keys(session)).not.toContain('initial_events');
    expect(Object.keys(session)).not.toContain('events');

    const listed = await collect(sessions.events.list(session.id));
    const [first] = only(listed, 'user.message');
    expect(first?.id).toMatch(/^sevt_01\w{22}$/);
    await untilIdle(client, session.id);
    const after = await collect(sessions.events.list(session.id));
    expect(only(after, 'user.message').map(({ id }) => id)).toEqual([first?.id]);
    expect(only(after, 'agent.message').map(textOf)).toEqual(['born']);
  });

  it('check 10: one bad initial event and there is no session', async () => {
    const { id } = await bed.agent();
    const good = message('hello') as never;
    const error = await failureOf(
      bed.create({ agent: id, initial_events: [good, { type: 'user.interrupt' } as never] }),
    );
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(error.message).toContain('initial_events[1]');
    expect(await collect(sessions.list({ agent_id: id }))).toEqual([]);
  });

  it('check 11: a sent event shows twice with one id, first without and then with its time', async () => {
    const live = await bed.live();
    const [sent] = await live.send(message(script({ say: 'ok' })));
    await live.next('session.status_idle');

    const shown = only(live.events, 'user.message');
    expect(shown.map(({ id }) => id)).toEqual([sent?.id, sent?.id]);
    expect(shown[0]?.processed_at).toBeNull();
    expect(shown[1]?.processed_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    expect(sent).toMatchObject({ type: 'user.message', processed_at: null });
    expect(only(await live.list(), 'user.message')).toEqual([shown[1]]);
  });

  it('check 12: a turn of text has exactly these events in this order', async () => {
    const live = await bed.live();
    const turn = await live.turn(script({ say: 'hello' }));

    expect(typesOf(turn)).toEqual(TEXT_TURN);
    const [start] = only(turn, 'span.model_request_start');
    const [end] = only(turn, 'span.model_request_end');
    expect(end).toMatchObject({ model_request_start_id: start?.id, is_error: false });
    expect(only(turn, 'agent.message')[0]?.content).toEqual([{ type: 'text', text: 'hello' }]);
    for (const type of ['session.thread_status_idle', 'session.status_idle'] as const) {
      expect(only(turn, type)).toMatchObject([{ stop_reason: { type: 'end_turn' }, stop_details: null }]);
    }
    const ids = turn.map((event) => (event as { id: string }).id);
    expect(new Set(ids).size).toBe(turn.length - 1);
    expect((await live.list()).map(({ id }) => id)).toEqual(ids.slice(1));
  });

  it('check 12: every frame has an event line and one line of data', async () => {
    const live = await bed.live();
    const { url, apiKey } = server();
    const stop = new AbortController();
    const answer = await fetch(`${url}/v1/sessions/${live.id}/events/stream`, {
      headers: { 'x-api-key': apiKey },
      signal: stop.signal,
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(answer.headers.get('request-id')).toMatch(/^req_/);
    await live.send(message(script({ say: 'framed' })));

    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of answer.body ?? []) {
      text += decoder.decode(chunk, { stream: true });
      if (text.includes('event: session.status_idle') && text.endsWith('\n\n')) break;
    }
    stop.abort();
    const frames = text.split('\n\n').filter((frame) => frame !== '' && !frame.startsWith('event: ping'));
    const types = frames.map((frame) => {
      const [, name, data] = /^event: (\S+)\ndata: (.+)$/.exec(frame) ?? [];
      expect(JSON.parse(data ?? 'null')).toMatchObject({ type: name });
      return name;
    });
    expect(types).toEqual(TEXT_TURN);
  });

  it('check 13: after the turn the session says what it cost', async () => {
    const live = await bed.live();
    expect(await live.read()).toMatchObject({ usage: { output_tokens: 0 }, stats: { active_seconds: 0 } });
    await live.turn(script({ say: 'one two three' }));
    const session = await live.read();
    expect(session.status).toBe('idle');
    expect(session.usage.output_tokens).toBeGreaterThan(0);
    expect(session.stats.active_seconds).toBeGreaterThan(0);
    expect(session.stats.duration_seconds).toBeGreaterThanOrEqual(session.stats.active_seconds ?? 0);
  });

  it('check 14: the list pages both orders, filters by type, and a cursor keeps its order', async () => {
    const live = await bed.live();
    await live.turn(script({ say: 'one' }));
    await live.turn(script({ say: 'two' }));
    const all = await live.list();
    const before = calls.length;
    const newestFirst = await live.list({ order: 'desc', limit: 2 });

    expect(newestFirst.map(({ id }) => id)).toEqual(all.map(({ id }) => id).toReversed());
    expect(calls.slice(before)).toHaveLength(Math.ceil(all.length / 2));
    expect(await live.list({ limit: 3 })).toEqual(all);
    const messages = await live.list({ types: ['agent.message'] });
    expect(messages.map(textOf)).toEqual(['one', 'two']);
    const both = await live.list({ types: ['user.message', 'session.status_idle'], limit: 1 });
    expect(typesOf(both)).toEqual([
      'user.message',
      'session.status_idle',
      'user.message',
      'session.status_idle',
    ]);
    const at = all[4]?.processed_at ?? '';
    expect(await live.list({ 'created_at[gte]': at })).toEqual(all.slice(4));
    expect(await live.list({ 'created_at[lt]': at })).toEqual(all.slice(0, 4));

    const page = await sessions.events.list(live.id, { order: 'desc', limit: 2 });
    const error = await failureOf(
      sessions.events.list(live.id, { order: 'asc', limit: 2, page: page.next_page ?? '' }),
    );
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(error.message).toMatch(/^400 .*page: .*order/);
  });

  it('check 15: a dropped stream is made good by opening again and listing', async () => {
    const session = await bed.create();
    const first = await bed.watch(session.id);
    const steps = [1, 2, 3, 4].map((n) => ({
      call: 'bash',
      input: { command: `sleep 0.2; echo step ${n}` },
    }));
    await sessions.events.send(session.id, {
      events: [message(script(...steps, { say: 'all done' }))],
    });
    await first.next('agent.tool_result');
    first.close();
    const seen = [...first.events];

    const second = await bed.watch(session.id);
    const listed = await collect(sessions.events.list(session.id));
    await second.next('session.status_idle');
    const truth = await collect(sessions.events.list(session.id));

    const merged = new Map<string, ListedEvent>();
    for (const event of [...seen, ...listed, ...second.events] as ListedEvent[]) merged.set(event.id, event);
    const inOrder = [...merged.values()].sort((a, b) =>
      (a.processed_at ?? '') < (b.processed_at ?? '') ? -1 : 1,
    );
    expect(inOrder).toEqual(truth);
    const seenIds = new Set(seen.map((event) => (event as { id: string }).id));
    expect(second.events.filter((event) => seenIds.has((event as { id: string }).id))).toEqual([]);
    expect(only(second.events, 'agent.message').map(textOf)).toEqual(['all done']);
  });

  it('check 16: messages sent into a running turn wait and are taken in order', async () => {
    const live = await bed.live();
    await live.send(message(script({ delayMs: 1200 }, { say: 'slow' })));
    await live.next('span.model_request_start');
    const sent = [...(await live.send(message('second'))), ...(await live.send(message('third')))];

    expect(sent.map(({ processed_at }) => processed_at)).toEqual([null, null]);
    const during = await live.list();
    expect(during.slice(-2).map(({ id, processed_at }) => [id, processed_at])).toEqual(
      sent.map(({ id }) => [id, null]),
    );
    expect((await live.read()).status).toBe('running');
    await live.until('both to be answered', (events) =>
      events.some((event) => event.type === 'agent.message' && textOf(event).includes('third')),
    );
    await live.next('session.status_idle');

    const taken = only(await live.list(), 'user.message').filter(({ id }) =>
      sent.some((one) => one.id === id),
    );
    expect(taken.map(({ id }) => id)).toEqual(sent.map(({ id }) => id));
    const times = taken.map(({ processed_at }) => processed_at ?? '');
    expect(times).toEqual(times.toSorted());
    const slow = only(live.events, 'agent.message').find((event) => textOf(event) === 'slow');
    expect((slow?.processed_at ?? '') < (times[0] ?? '')).toBe(true);
    expect(only(live.events, 'session.status_running')).toHaveLength(1);
  });

  it('check 17: one bad event and none is stored', async () => {
    const live = await bed.live();
    await live.turn(script({ say: 'before' }));
    const before = await live.list();
    const error = await failureOf(live.send(message('fine'), { type: 'user.message', content: [] }));

    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(error.message).toContain('events[1].content');
    expect(await live.list()).toEqual(before);
    const turn = await live.turn(script({ say: 'after' }));
    expect(only(turn, 'user.message')).toHaveLength(2);
  });

  it('check 18: an unknown session is not found, and the answer names the request', async () => {
    const id = 'sesn_01AAAAAAAAAAAAAAAAAAAAAA';
    const attempts = [
      () => sessions.retrieve(id),
      () => sessions.events.list(id),
      () => sessions.events.stream(id),
      () => sessions.events.send(id, { events: [message('hello')] }),
      () => sessions.update(id, { title: 'x' }),
      () => sessions.archive(id),
      () => sessions.delete(id),
    ];
    for (const attempt of attempts) {
      const error = await failureOf(attempt());
      expect(error).toBeInstanceOf(NotFoundError);
      expect(error).toMatchObject({ status: 404, type: 'not_found_error' });
      expect(error.requestID).toMatch(/^req_/);
      expect(error.headers?.get('request-id')).toBe(error.requestID);
      expect(error.error).toMatchObject({
        type: 'error',
        error: { type: 'not_found_error', message: expect.stringContaining(id) },
        request_id: error.requestID,
      });
    }
  });
});
