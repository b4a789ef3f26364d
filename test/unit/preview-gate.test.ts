import { accumulateManagedAgentsEvent } from '@anthropic-ai/sdk/lib/sessions/accumulate';
import type { BetaManagedAgentsStreamSessionEvents } from '@anthropic-ai/sdk/resources/beta/sessions/events';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createPreviewGate } from '../../src/http/preview-gate.ts';
import type { PreviewMessage } from '../../src/previews.ts';
import type { Preview } from '../../src/wire/event.ts';

type GateEvent = Parameters<ReturnType<typeof createPreviewGate>['event']>[0];
type Sent = Preview | (GateEvent & { content?: { type: 'text'; text: string }[] });

function isPreview(frame: Sent): frame is Preview {
  return 'event' in frame || 'event_id' in frame;
}

function idOf(frame: Preview): string {
  return frame.type === 'event_start' ? frame.event.id : frame.event_id;
}

const BOTH = new Set(['agent.message', 'agent.thinking']);

const start = (id: string, type: 'agent.message' | 'agent.thinking' = 'agent.message'): Preview => ({
  type: 'event_start',
  event: { type, id },
});
const delta = (id: string, text: string, index = 0): Preview => ({
  type: 'event_delta',
  event_id: id,
  delta: { type: 'content_delta', index, content: { type: 'text', text } },
});
const preview = (spanId: string, frame: Preview): PreviewMessage => ({ sessionId: 's', spanId, frame });
const began = (id: string): GateEvent => ({ id, type: 'span.model_request_start' });
const over = (id: string): GateEvent => ({
  id: `${id}-end`,
  type: 'span.model_request_end',
  model_request_start_id: id,
});

describe('a connection', () => {
  test('gets previews between the start of the span and the full event', () => {
    const gate = createPreviewGate(BOTH);
    expect(gate.event(began('s1'))).toEqual([]);
    expect(gate.preview(preview('s1', start('t', 'agent.thinking')))).toEqual([start('t', 'agent.thinking')]);
    expect(gate.preview(preview('s1', start('m')))).toEqual([start('m')]);
    expect(gate.preview(preview('s1', delta('m', 'a')))).toEqual([delta('m', 'a')]);
    expect(gate.event({ id: 'm', type: 'agent.message' })).toEqual([]);
    expect(gate.preview(preview('s1', delta('m', 'b')))).toEqual([]);
  });

  test('gets early ones with the start of the span', () => {
    const gate = createPreviewGate(BOTH);
    expect(gate.preview(preview('s1', start('m')))).toEqual([]);
    expect(gate.preview(preview('s1', delta('m', 'a')))).toEqual([]);
    expect(gate.event(began('s1'))).toEqual([start('m'), delta('m', 'a')]);
    expect(gate.preview(preview('s1', delta('m', 'b')))).toEqual([delta('m', 'b')]);
  });

  test('gets none for a span that began before it', () => {
    const gate = createPreviewGate(BOTH);
    expect(gate.preview(preview('s0', start('m')))).toEqual([]);
    expect(gate.event(over('s0'))).toEqual([]);
    expect(gate.preview(preview('s0', delta('m', 'a')))).toEqual([]);
  });

  test('gets none once the span is over', () => {
    const gate = createPreviewGate(BOTH);
    gate.event(began('s1'));
    gate.preview(preview('s1', start('m')));
    gate.event(over('s1'));
    expect(gate.preview(preview('s1', delta('m', 'a')))).toEqual([]);
    expect(gate.preview(preview('s1', start('m2')))).toEqual([]);
  });

  test('gets only the kinds that it asked for', () => {
    const gate = createPreviewGate(new Set(['agent.thinking']));
    gate.event(began('s1'));
    expect(gate.preview(preview('s1', start('t', 'agent.thinking')))).toHaveLength(1);
    expect(gate.preview(preview('s1', start('m')))).toEqual([]);
    expect(gate.preview(preview('s1', delta('m', 'a')))).toEqual([]);
  });

  test('gets nothing of an id whose start was lost', () => {
    const gate = createPreviewGate(BOTH);
    gate.event(began('s1'));
    expect(gate.preview(preview('s1', delta('m', 'b')))).toEqual([]);
  });

  test('is not given what follows a hole, when too much had to be held back', () => {
    const gate = createPreviewGate(BOTH);
    gate.preview(preview('s1', start('m')));
    for (let at = 0; at < 5000; at += 1) gate.preview(preview('s1', delta('m', `${at} `)));
    const given = gate.event(began('s1'));
    expect(given.length).toBeGreaterThan(1000);
    given.slice(1).forEach((frame, at) => expect(frame).toEqual(delta('m', `${at} `)));
    expect(gate.preview(preview('s1', delta('m', 'later')))).toEqual([]);
  });

  test('who is far behind is held back only what is newest', () => {
    const gate = createPreviewGate(BOTH);
    gate.preview(preview('s1', start('m')));
    for (let at = 0; at < 1999; at += 1) gate.preview(preview('s1', delta('m', `${at} `)));
    gate.preview(preview('s2', start('n')));
    gate.preview(preview('s1', delta('m', 'late')));
    expect(gate.event(began('s1'))).toEqual([]);
    expect(gate.event(over('s1'))).toEqual([]);
    gate.preview(preview('s2', delta('n', 'a')));
    expect(gate.event(began('s2'))).toEqual([start('n'), delta('n', 'a')]);
  });

  test('hears no more of an attempt when another has begun', () => {
    const gate = createPreviewGate(BOTH);
    gate.event(began('s1'));
    gate.preview(preview('s1', start('old')));
    expect(gate.preview(preview('s1', start('new')))).toHaveLength(1);
    expect(gate.preview(preview('s1', delta('old', 'a', 1)))).toEqual([]);
    expect(gate.preview(preview('s1', delta('new', 'a')))).toHaveLength(1);
  });
});

test('a dead attempt whose message had begun adds nothing to the full message of the next one', () => {
  const gate = createPreviewGate(BOTH);
  gate.event(began('s1'));
  expect(gate.preview(preview('s1', start('old')))).toHaveLength(1);
  gate.event({ id: 'new', type: 'agent.message' });
  expect(gate.preview(preview('s1', delta('old', 'a')))).toEqual([]);
  expect(gate.preview(preview('s1', start('older')))).toEqual([]);
});

interface Attempt {
  readonly thinking: number;
  readonly texts: readonly (readonly string[])[];
  /** Whether this attempt got to its end and wrote its events. */
  readonly full: boolean;
}

const attempt: fc.Arbitrary<Attempt> = fc.record({
  thinking: fc.nat(2),
  texts: fc.array(fc.array(fc.string({ minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 }), {
    maxLength: 3,
  }),
  full: fc.boolean(),
});
const spans = fc.array(fc.array(attempt, { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 3 });

/** What a worker shows of an attempt, in its order. */
function framesOf({ thinking, texts }: Attempt, id: string): Preview[] {
  const thoughts = Array.from({ length: thinking }, (_, at) => start(`${id}-t${at}`, 'agent.thinking'));
  const deltas = texts.flatMap((parts, index) => parts.map((part) => delta(`${id}-m`, part, index)));
  return [...thoughts, ...(deltas.length > 0 ? [start(`${id}-m`)] : []), ...deltas];
}

/** What stands in the log of an attempt that got to its end. */
function fullOf({ thinking, texts }: Attempt, id: string): Sent[] {
  const thoughts = Array.from({ length: thinking }, (_, at) => ({
    id: `${id}-t${at}`,
    type: 'agent.thinking',
  }));
  const content = texts.map((parts) => ({ type: 'text' as const, text: parts.join('') }));
  return [...thoughts, ...(texts.length > 0 ? [{ id: `${id}-m`, type: 'agent.message', content }] : [])];
}

interface World {
  /** The log, in its order. */
  readonly log: readonly Sent[];
  /** One queue a worker: what it shows arrives in order, but when is anybody's guess. */
  readonly shown: readonly (readonly PreviewMessage[])[];
}

function worldOf(plan: readonly (readonly Attempt[])[]): World {
  const log: Sent[] = [];
  const shown: PreviewMessage[][] = [];
  plan.forEach((attempts, span) => {
    const spanId = `s${span}`;
    const last = attempts.length - 1;
    log.push(began(spanId));
    attempts.forEach((one, at) => {
      shown.push(framesOf(one, `${spanId}a${at}`).map((frame) => preview(spanId, frame)));
      if (at === last && one.full) log.push(...fullOf(one, `${spanId}a${at}`));
    });
    log.push(over(spanId));
  });
  return { log, shown };
}

/** Plays a world to a connection that opens after `openAt` events. `pick` decides what arrives next. */
function play(
  { log, shown }: World,
  wanted: ReadonlySet<string>,
  openAt: number,
  pick: readonly number[],
): Sent[] {
  const gate = createPreviewGate(wanted);
  const queues: (Sent | PreviewMessage)[][] = [log.slice(openAt), ...shown.map((queue) => [...queue])];
  const sent: Sent[] = [];
  for (let turn = 0; queues.some(({ length }) => length > 0); turn += 1) {
    const waiting = queues.filter(({ length }) => length > 0);
    const next = waiting[(pick[turn % pick.length] ?? 0) % waiting.length]?.shift();
    if (!next) continue;
    if ('spanId' in next) sent.push(...gate.preview(next));
    else sent.push(next, ...gate.event(next as GateEvent));
  }
  return sent;
}

test('whatever the order of arrival, each id gets one start, then deltas without a hole, then nothing after its event', () => {
  const wantedSets = fc.constantFrom<readonly string[]>([...BOTH], ['agent.message'], ['agent.thinking'], []);
  const picks = fc.array(fc.nat(5), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(spans, wantedSets, fc.nat(6), picks, (plan, wanted, openAt, pick) => {
      const world = worldOf(plan);
      const sent = play(world, new Set(wanted), Math.min(openAt, world.log.length), pick);
      const seen = new Map<string, Preview[]>();
      const closed = new Set<string>();
      const openSpans = new Set<string>();
      let snapshot: ReturnType<typeof accumulateManagedAgentsEvent>;
      for (const frame of sent) {
        // Throws where a delta has no start or an index is left out.
        snapshot = accumulateManagedAgentsEvent(
          snapshot,
          frame as unknown as BetaManagedAgentsStreamSessionEvents,
        );
        if (!isPreview(frame)) {
          if (frame.type === 'span.model_request_start') openSpans.add(frame.id);
          if (frame.model_request_start_id !== undefined) openSpans.delete(frame.model_request_start_id);
          closed.add(frame.id);
          continue;
        }
        const id = idOf(frame);
        expect(closed).not.toContain(id);
        expect(openSpans).toContain(id.split('a')[0]);
        if (frame.type === 'event_start') expect(wanted).toContain(frame.event.type);
        seen.set(id, [...(seen.get(id) ?? []), frame]);
      }
      for (const [id, frames] of seen) {
        const made = world.shown
          .flat()
          .map(({ frame }) => frame)
          .filter((frame) => idOf(frame) === id);
        expect(frames).toEqual(made.slice(0, frames.length));
      }
    }),
    { numRuns: 1000 },
  );
});

test('with nothing in the way, everything that was asked for is shown', () => {
  fc.assert(
    fc.property(spans, (plan) => {
      const single = plan.map((attempts) => attempts.slice(-1));
      const { shown } = worldOf(single);
      const gate = createPreviewGate(BOTH);
      const sent = single.flatMap((_, span) => {
        const held = gate.event(began(`s${span}`));
        const live = (shown[span] ?? []).flatMap((message) => gate.preview(message));
        gate.event(over(`s${span}`));
        return [...held, ...live];
      });
      expect(sent).toEqual(shown.flat().map(({ frame }) => frame));
    }),
  );
});
