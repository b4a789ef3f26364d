/** How a turn ends when the model stops early, refuses, pauses or fails (wire-api sections 11.6 and 14). */
import { describe, expect, it } from 'vitest';
import { unique } from '../support/client.ts';
import { message, only, script, textOf, typesOf, useTestbed, type StreamEvent } from '../support/turns.ts';

const bed = useTestbed();

const OPENING = ['user.message', 'session.status_running', 'session.thread_status_running', 'user.message'];
const FAILED_TRY = [
  'span.model_request_start',
  'span.model_request_end',
  'session.error',
  'session.status_rescheduled',
  'session.thread_status_rescheduled',
  'session.status_running',
  'session.thread_status_running',
];
const GOOD_TRY = ['span.model_request_start', 'agent.message', 'span.model_request_end'];
const LAST_TRY = ['span.model_request_start', 'span.model_request_end', 'session.error'];
const CLOSING = ['session.thread_status_idle', 'session.usage', 'session.status_idle'];

function errorsOf(turn: readonly StreamEvent[]): [string, string][] {
  return only(turn, 'session.error').map(({ error }) => [error.type, error.retry_status.type]);
}

function stopOf(turn: readonly StreamEvent[]): unknown[] {
  const thread = only(turn, 'session.thread_status_idle').map(({ stop_reason }) => stop_reason);
  const session = only(turn, 'session.status_idle').map(({ stop_reason }) => stop_reason);
  expect(session).toEqual(thread);
  return session;
}

describe('how a model stops', () => {
  it('max_tokens ends the turn with what there is', async () => {
    const live = await bed.live();
    const turn = await live.turn(script({ say: 'cut sho' }, { stop: 'max_tokens' }));
    expect(typesOf(turn)).toEqual([...OPENING, ...GOOD_TRY, ...CLOSING]);
    expect(only(turn, 'agent.message').map(textOf)).toEqual(['cut sho']);
    expect(stopOf(turn)).toEqual([{ type: 'end_turn' }]);
    expect(only(await live.turn('go on'), 'agent.message')).toHaveLength(1);
  });

  it('a tool call that max_tokens cut off is not run', async () => {
    const live = await bed.live();
    const turn = await live.turn(
      script({ say: 'calling' }, { call: 'bash', input: { command: 'true' }, stop: 'max_tokens' }),
    );
    expect(typesOf(turn)).not.toContain('agent.tool_use');
    expect(stopOf(turn)).toEqual([{ type: 'end_turn' }]);
    expect(stopOf(await live.turn(script({ say: 'fine' })))).toEqual([{ type: 'end_turn' }]);
  });

  it('a refusal is told with its details, and the session goes on', async () => {
    const live = await bed.live();
    const turn = await live.turn(
      script({ say: 'I cannot' }, { stop: 'refusal', category: 'cyber', explanation: 'because' }),
    );
    expect(stopOf(turn)).toEqual([{ type: 'refusal' }]);
    const details = { type: 'refusal', category: 'cyber', explanation: 'because' };
    expect(only(turn, 'session.status_idle')[0]?.stop_details).toEqual(details);
    expect(only(turn, 'session.thread_status_idle')[0]?.stop_details).toEqual(details);
    expect((await live.read()).status).toBe('idle');
    const next = await live.turn(script({ say: 'better' }));
    expect(stopOf(next)).toEqual([{ type: 'end_turn' }]);
    expect(only(next, 'session.status_idle')[0]?.stop_details).toBeNull();
  });

  it('pause_turn asks the model to go on by itself', async () => {
    const live = await bed.live();
    const turn = await live.turn(
      script({ say: 'part one' }, { stop: 'pause_turn' }, { say: 'part two' }, { stop: 'end_turn' }),
    );
    expect(typesOf(turn)).toEqual([...OPENING, ...GOOD_TRY, ...GOOD_TRY, ...CLOSING]);
    expect(only(turn, 'agent.message').map(textOf)).toEqual(['part one', 'part two']);
    expect(stopOf(turn)).toEqual([{ type: 'end_turn' }]);
  });
});

describe('when the model fails', () => {
  it('429 with retry-after: the wait is shown and kept', async () => {
    const live = await bed.live();
    const text = script({ fail: 429, retryAfter: 1, times: 1, id: unique() }, { say: 'through' });
    const sent = live.turn(text);
    await live.next('session.thread_status_rescheduled');
    expect((await live.read()).status).toBe('rescheduling');
    const turn = await sent;

    expect(typesOf(turn)).toEqual([...OPENING, ...FAILED_TRY, ...GOOD_TRY, ...CLOSING]);
    expect(errorsOf(turn)).toEqual([['model_rate_limited_error', 'retrying']]);
    expect(only(turn, 'span.model_request_end').map(({ is_error }) => is_error)).toEqual([true, false]);
    const [rescheduled] = only(turn, 'session.status_rescheduled');
    const again = only(turn, 'span.model_request_start')[1];
    const waited = Date.parse(again?.processed_at ?? '') - Date.parse(rescheduled?.processed_at ?? '');
    expect(waited).toBeGreaterThanOrEqual(1000);
    expect(waited).toBeLessThan(10_000);
  });

  it.each([
    [529, 'model_overloaded_error'],
    [500, 'model_request_failed_error'],
  ])('%i three times and then an answer', async (status, type) => {
    const live = await bed.live();
    const turn = await live.turn(script({ fail: status, times: 3, id: unique() }, { say: 'at last' }));
    expect(typesOf(turn)).toEqual([
      ...OPENING,
      ...FAILED_TRY,
      ...FAILED_TRY,
      ...FAILED_TRY,
      ...GOOD_TRY,
      ...CLOSING,
    ]);
    expect(errorsOf(turn)).toEqual(Array.from({ length: 3 }, () => [type, 'retrying']));
    expect(only(turn, 'session.status_idle')[0]?.stop_reason).toEqual({ type: 'end_turn' });
    const usages = only(turn, 'span.model_request_end').map(({ model_usage }) => model_usage.output_tokens);
    expect(usages.slice(0, 3)).toEqual([0, 0, 0]);
  });

  it('a model that always fails exhausts the retries; the next message starts afresh', async () => {
    const live = await bed.live();
    const turn = await live.turn(script({ fail: 529, times: 4, id: unique() }, { say: 'recovered' }));
    expect(typesOf(turn)).toEqual([
      ...OPENING,
      ...FAILED_TRY,
      ...FAILED_TRY,
      ...FAILED_TRY,
      ...LAST_TRY,
      ...CLOSING,
    ]);
    expect(errorsOf(turn).map(([, retry]) => retry)).toEqual([
      'retrying',
      'retrying',
      'retrying',
      'exhausted',
    ]);
    expect(stopOf(turn)).toEqual([{ type: 'retries_exhausted' }]);
    expect((await live.read()).status).toBe('idle');

    const next = await live.turn('try once more');
    expect(typesOf(next)).toEqual([...OPENING, ...GOOD_TRY, ...CLOSING]);
    expect(only(next, 'agent.message').map(textOf)).toEqual(['recovered']);
  });

  it('what waits behind a turn that is exhausted is flushed', async () => {
    const live = await bed.live();
    const id = unique();
    await live.send(
      message(
        script({ fail: 429, retryAfter: 1, times: 1, id }, { fail: 400, times: 1, id }, { say: 'back' }),
      ),
    );
    await live.next('session.status_rescheduled');
    const [queued] = await live.send(message('do not forget me'));
    await live.next('session.status_idle');
    expect(stopOf(live.events)).toEqual([{ type: 'retries_exhausted' }]);
    const listed = only(await live.list(), 'user.message').find((event) => event.id === queued?.id);
    expect(listed?.processed_at).not.toBeNull();
    expect(stopOf(await live.turn('and now'))).toEqual([{ type: 'end_turn' }]);
  });

  it('400 is not tried again', async () => {
    const live = await bed.live();
    const turn = await live.turn(
      script({ fail: 400, message: 'prompt is odd', times: 1, id: unique() }, { say: 'recovered' }),
    );
    expect(typesOf(turn)).toEqual([...OPENING, ...LAST_TRY, ...CLOSING]);
    expect(errorsOf(turn)).toEqual([['model_request_failed_error', 'exhausted']]);
    expect(only(turn, 'session.error')[0]?.error.message).toContain('prompt is odd');
    expect(stopOf(turn)).toEqual([{ type: 'retries_exhausted' }]);
    expect(only(await live.turn('again'), 'agent.message').map(textOf)).toEqual(['recovered']);
  });

  it.each([
    ['a stream that is cut', { fail: 'cut', after: 3 }],
    ['an error in the stream', { fail: 'error', after: 3 }],
    ['a connection that is dropped', { fail: 'drop' }],
  ])('%s is tried again, and no half message is left', async (_, failure) => {
    const live = await bed.live();
    const say = 'This text is long enough to be streamed in a good number of pieces.';
    const turn = await live.turn(script({ ...failure, times: 2, id: unique() }, { say, chunkChars: 5 }));
    expect(typesOf(turn)).toEqual([...OPENING, ...FAILED_TRY, ...FAILED_TRY, ...GOOD_TRY, ...CLOSING]);
    expect(only(turn, 'agent.message').map(textOf)).toEqual([say]);
    expect(only(turn, 'span.model_request_end').map(({ is_error }) => is_error)).toEqual([true, true, false]);
  });
});
