/** Conformance checks 19 and 20: previews, and what else wire-api section 12.1 says of them. */
import { accumulateManagedAgentsEvent } from '@anthropic-ai/sdk/lib/sessions/accumulate';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../support/control-plane.ts';
import { unique } from '../support/client.ts';
import {
  BEFORE,
  message,
  only,
  script,
  textOf,
  typesOf,
  useTestbed,
  type Of,
  type StreamEvent,
} from '../support/turns.ts';

const bed = useTestbed();
const { events } = bed.client.beta.sessions;

const LONG = 'The quick brown fox jumps over the lazy dog, again and again, until the model is done.';
const SLOW = { say: LONG, chunkChars: 8, chunkDelayMs: 60 };
const BOTH = ['agent.message', 'agent.thinking'] as const;

function previewed(all: readonly StreamEvent[]): (Of<'event_start'> | Of<'event_delta'>)[] {
  return all.filter(
    (event): event is Of<'event_start'> | Of<'event_delta'> =>
      event.type === 'event_start' || event.type === 'event_delta',
  );
}

function textSoFar(deltas: readonly Of<'event_delta'>[]): string {
  return deltas.map(({ delta }) => (delta.content as { text: string }).text).join('');
}

describe('previews', () => {
  it('check 19: the deltas add up to the message, under its id', async () => {
    const live = await bed.live({}, ['agent.message']);
    const turn = await live.turn(script(SLOW));

    const [final] = only(turn, 'agent.message');
    const starts = only(turn, 'event_start');
    const deltas = only(turn, 'event_delta');
    expect(starts.map(({ event }) => event)).toEqual([{ type: 'agent.message', id: final?.id }]);
    expect(new Set(deltas.map(({ event_id }) => event_id))).toEqual(new Set([final?.id]));
    expect(deltas.map(({ delta }) => [delta.type, delta.index])).toEqual(
      deltas.map(() => ['content_delta', 0]),
    );
    expect(deltas.length).toBeGreaterThan(5);
    expect(textSoFar(deltas)).toBe(LONG);
    const order = typesOf(turn).filter((type, index, all) => type !== all[index - 1]);
    expect(order).toEqual([
      'user.message',
      'session.status_running',
      'session.thread_status_running',
      'user.message',
      'span.model_request_start',
      'event_start',
      'event_delta',
      'agent.message',
      'span.model_request_end',
      'session.thread_status_idle',
      'session.usage',
      'session.status_idle',
    ]);
    const listed = typesOf(await live.list());
    expect(listed).not.toContain('event_start');
    expect(listed).not.toContain('event_delta');
  });

  it('check 19: the accumulator of the SDK arrives at the final message', async () => {
    const live = await bed.live({}, ['agent.message']);
    const turn = await live.turn(
      script({ ...SLOW, say: 'First block, slowly.' }, { ...SLOW, say: 'Second block, just as slowly.' }),
    );
    let snapshot: ReturnType<typeof accumulateManagedAgentsEvent>;
    let preview: typeof snapshot;
    for (const event of turn) {
      snapshot = accumulateManagedAgentsEvent(snapshot, event);
      if (event.type === 'event_delta') preview = snapshot;
    }
    const [final] = only(turn, 'agent.message');
    expect(snapshot).toEqual(final);
    expect(preview).toEqual({ ...final, processed_at: '' });
    expect(final?.content.map((block) => (block as { text: string }).text)).toEqual([
      'First block, slowly.',
      'Second block, just as slowly.',
    ]);
  });

  it('check 20: an unknown kind of preview is refused, and nobody gets what he did not ask for', async () => {
    const live = await bed.live();
    const error = await failureOf(events.stream(live.id, { event_deltas: ['bogus' as never] }));
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(error.message).toContain('event_deltas');
    const many = Array.from({ length: 101 }, () => 'agent.message' as const);
    expect(await failureOf(events.stream(live.id, { event_deltas: many }))).toMatchObject({ status: 400 });

    const thinkingOnly = await bed.watch(live.id, ['agent.thinking']);
    const turn = await live.turn(script({ think: 'hm' }, SLOW));
    await thinkingOnly.next('session.status_idle');
    expect(previewed(turn)).toEqual([]);
    expect(previewed(thinkingOnly.events)).toMatchObject([
      { type: 'event_start', event: { type: 'agent.thinking' } },
    ]);
  });

  it('thinking has a start and no deltas, and the same id as its event', async () => {
    const live = await bed.live({}, BOTH);
    const turn = await live.turn(script({ think: 'Let me think about it.' }, { say: 'Done.' }));
    const [thinking] = only(turn, 'agent.thinking');
    const [final] = only(turn, 'agent.message');
    expect(only(turn, 'event_start').map(({ event }) => event)).toEqual([
      { type: 'agent.thinking', id: thinking?.id },
      { type: 'agent.message', id: final?.id },
    ]);
    expect(new Set(only(turn, 'event_delta').map(({ event_id }) => event_id))).toEqual(new Set([final?.id]));
    expect(Object.keys(thinking ?? {}).sort()).toEqual(['id', 'processed_at', 'type']);
  });

  it('a connection that opens in the middle gets no previews of that message, but of the next', async () => {
    const live = await bed.live({}, ['agent.message']);
    const text = script(
      { ...SLOW, chunkDelayMs: 120 },
      { call: 'bash', input: { command: 'true' } },
      { ...SLOW, say: 'the second message' },
    );
    await live.send(message(text));
    await live.next('event_delta');
    const late = await bed.watch(live.id, ['agent.message']);
    await late.next('session.status_idle');

    const [first, second] = only(late.events, 'agent.message');
    expect(first?.content).toEqual([{ type: 'text', text: LONG }]);
    expect(new Set(previewed(late.events).map(idOf))).toEqual(new Set([second?.id]));
    expect(textSoFar(only(late.events, 'event_delta'))).toBe('the second message');
    expect(typesOf(late.events).indexOf('event_start')).toBeGreaterThan(
      typesOf(late.events).indexOf('span.model_request_start'),
    );
  });

  it('an interrupted message has no final event: the end of the span closes its previews', async () => {
    const live = await bed.live({}, ['agent.message']);
    await live.send(message(script(...BEFORE, { ...SLOW, chunkDelayMs: 500 })));
    const { event } = await live.next('event_start', 2);
    await live.until('a delta of the second message', (all) =>
      all.some((one) => one.type === 'event_delta' && one.event_id === event.id),
    );
    await live.interrupt();
    await live.next('session.status_idle');
    const types = typesOf(live.events);
    expect(only(live.events, 'agent.message').map(textOf)).toEqual(['.']);
    expect(types.lastIndexOf('event_delta')).toBeLessThan(types.lastIndexOf('span.model_request_end'));

    const turn = await live.turn(script({ ...SLOW, say: 'the next message' }));
    expect(previewed(turn).map(idOf)).not.toContain(event.id);
    expect(only(turn, 'event_start').map(({ event }) => event.id)).toEqual(
      only(turn, 'agent.message').map(({ id }) => id),
    );
  });

  it('a try that failed half way has ids of its own', async () => {
    const live = await bed.live({}, ['agent.message']);
    const turn = await live.turn(
      script({ fail: 'cut', after: 5, times: 1, id: unique() }, { ...SLOW, chunkDelayMs: 20 }),
    );
    const starts = only(turn, 'event_start').map(({ event }) => event.id);
    const finals = only(turn, 'agent.message');
    expect(finals.map(textOf)).toEqual([LONG]);
    expect(starts).toHaveLength(2);
    expect(new Set(starts).size).toBe(2);
    expect(starts[1]).toBe(finals[0]?.id);
    const types = typesOf(turn);
    const firstEnd = types.indexOf('span.model_request_end');
    const ofFirst = turn.flatMap((event, index) =>
      event.type === 'event_delta' && event.event_id === starts[0] ? [index] : [],
    );
    expect(Math.max(...ofFirst)).toBeLessThan(firstEnd);
    expect(turn[firstEnd]).toMatchObject({ is_error: true });
  });
});

function idOf(event: Of<'event_start'> | Of<'event_delta'>): string {
  return event.type === 'event_start' ? event.event.id : event.event_id;
}
