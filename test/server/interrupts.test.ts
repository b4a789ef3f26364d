/** Conformance checks 27 and 28: interrupts. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { unique } from '../support/client.ts';
import { eventually } from '../support/process.ts';
import {
  BEFORE,
  message,
  modelRequests,
  only,
  script,
  textOf,
  typesOf,
  untilIdle,
  useTestbed,
} from '../support/turns.ts';

const bed = useTestbed();
const INTERRUPTED = 'Tool execution was interrupted before completion. Please retry.';
const SLOW_ANSWER = { say: 'word '.repeat(100), chunkChars: 5, chunkDelayMs: 500 };
const SOON_MS = 5000;

/** Whether a process with this word among its arguments runs on this machine, in whatever namespace. */
function isRunning(word: string): boolean {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .some((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(word);
      } catch {
        return false;
      }
    });
}

describe('interrupts', () => {
  it('check 27: a long command is ended, and the next message is taken', async () => {
    const live = await bed.live();
    const seconds = `60.${process.pid}${Date.now() % 100_000}`;
    await live.send(
      message(script({ call: 'bash', input: { command: `sleep ${seconds}` } }, { say: 'never' })),
    );
    const use = await live.next('agent.tool_use');
    await eventually('the command to run', () => isRunning(seconds), 30_000);
    const sentAt = Date.now();
    await live.interrupt();
    const idle = await live.next('session.status_idle');

    expect(Date.now() - sentAt).toBeLessThan(SOON_MS);
    expect(idle.stop_reason).toEqual({ type: 'end_turn' });
    const [result] = only(live.events, 'agent.tool_result');
    expect(result).toMatchObject({ tool_use_id: use.id, is_error: true });
    expect(textOf(result)).toBe(INTERRUPTED);
    expect(only(live.events, 'user.interrupt').map(({ processed_at }) => processed_at === null)).toEqual([
      true,
      false,
    ]);
    expect(only(live.events, 'span.model_request_start')).toHaveLength(1);
    await eventually('the command to be gone', () => !isRunning(seconds));

    const turn = await live.turn(
      script({ call: 'bash', input: { command: 'echo alive' } }, { say: '{{result}}' }),
    );
    expect(textOf(only(turn, 'agent.message').at(-1))).toContain('alive');
  });

  it('check 27: calls that wait for the client are closed without asking the model', async () => {
    const mark = unique('waiting');
    const agent = await bed.agent({
      system: mark,
      tools: [{ type: 'custom', name: 'lookup', description: 'Looks up.', input_schema: { type: 'object' } }],
    });
    const live = await bed.live({ agent: agent.id });
    const turn = await live.turn(script({ calls: [{ call: 'lookup' }, { call: 'lookup' }] }, { say: 'no' }));
    const ids = only(turn, 'agent.custom_tool_use').map(({ id }) => id);
    await live.interrupt();
    const idle = await live.next('session.status_idle', 2);

    expect(idle.stop_reason).toEqual({ type: 'end_turn' });
    const results = only(live.events, 'agent.tool_result');
    expect(results.map(({ tool_use_id }) => tool_use_id).sort()).toEqual(ids.toSorted());
    for (const result of results) {
      expect(result.is_error).toBe(true);
      expect(textOf(result)).toBe(INTERRUPTED);
    }
    expect(await modelRequests(mark)).toHaveLength(1);
    expect(only(await live.turn(script({ say: 'moving on' })), 'agent.message').map(textOf)).toEqual([
      'moving on',
    ]);
  });

  it('check 28: interrupt and message in one request: the next turn is about the message', async () => {
    const live = await bed.live();
    await live.send(message(script(...BEFORE, SLOW_ANSWER)));
    await live.next('span.model_request_start', 2);
    const sent = await live.send({ type: 'user.interrupt' }, message(script({ say: 'instead' })));
    expect(sent.map(({ type, processed_at }) => [type, processed_at])).toEqual([
      ['user.interrupt', null],
      ['user.message', null],
    ]);
    await live.until('the new answer', (events) =>
      events.some((event) => event.type === 'agent.message' && textOf(event) === 'instead'),
    );
    await untilIdle(bed.client, live.id);
    expect(only(await live.list(), 'agent.message').map(textOf)).toEqual(['.', 'instead']);
    const taken = (await live.list()).filter(({ id }) => sent.some((event) => event.id === id));
    expect(taken.map(({ id }) => id)).toEqual(sent.map(({ id }) => id));
  });

  it('a slow answer is dropped: no message, a span without tokens, idle at once', async () => {
    const live = await bed.live();
    await live.send(message(script(...BEFORE, SLOW_ANSWER)));
    await live.next('span.model_request_start', 2);
    const sentAt = Date.now();
    await live.interrupt();
    const idle = await live.next('session.status_idle');

    expect(Date.now() - sentAt).toBeLessThan(SOON_MS);
    expect(idle).toMatchObject({ stop_reason: { type: 'end_turn' }, stop_details: null });
    expect(only(live.events, 'agent.message').map(textOf)).toEqual(['.']);
    expect(only(live.events, 'span.model_request_end').at(-1)).toMatchObject({
      is_error: false,
      model_usage: {
        input_tokens: 0,
        output_tokens: 0,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
      },
    });
    expect(typesOf(live.events).slice(-6)).toEqual([
      'user.interrupt',
      'span.model_request_end',
      'user.interrupt',
      'session.thread_status_idle',
      'session.usage',
      'session.status_idle',
    ]);
    expect((await live.read()).status).toBe('idle');
  });

  it('while the retry of a failed model request is waited for, it ends the turn', async () => {
    const live = await bed.live();
    await live.send(message(script({ fail: 429, retryAfter: 60, times: 1, id: unique() }, { say: 'late' })));
    await live.next('session.status_rescheduled');
    const sentAt = Date.now();
    await live.interrupt();
    const idle = await live.next('session.status_idle');
    expect(Date.now() - sentAt).toBeLessThan(SOON_MS);
    expect(idle.stop_reason).toEqual({ type: 'end_turn' });
    expect(only(await live.turn('again'), 'agent.message').map(textOf)).toEqual(['late']);
  });

  it('what nobody has taken up yet is a turn that ends before the model is asked', async () => {
    const live = await bed.live();
    const mark = unique();
    const sent = await live.send(message(script({ say: mark })), { type: 'user.interrupt' });
    const idle = await live.next('session.status_idle');
    expect(idle.stop_reason).toEqual({ type: 'end_turn' });
    expect(typesOf(await live.list()).slice(-7)).toEqual([
      'session.status_running',
      'session.thread_status_running',
      'user.message',
      'user.interrupt',
      'session.thread_status_idle',
      'session.usage',
      'session.status_idle',
    ]);
    // The model sees both, as one message.
    const turn = await live.turn(script({ say: 'after' }));
    expect(only(turn, 'agent.message').map(textOf)).toEqual([`${mark}after`]);
    expect(await modelRequests(mark)).toHaveLength(1);
    expect((await live.list()).filter(({ id }) => sent.some((event) => event.id === id))).toHaveLength(2);
  });

  it('on an idle session it starts nothing', async () => {
    const live = await bed.live();
    await live.turn(script({ say: 'one' }));
    const before = live.events.length;
    await live.interrupt();
    await live.until('the interrupt to be taken up', (events) =>
      events.slice(before).some((event) => event.type === 'user.interrupt' && event.processed_at !== null),
    );
    expect((await live.read()).status).toBe('idle');
    const turn = await live.turn(script({ say: 'two' }));
    expect(only(turn, 'agent.message').map(textOf)).toEqual(['two']);
    const since = typesOf(live.events.slice(before));
    expect(since.filter((type) => type === 'session.status_running')).toHaveLength(1);
    expect(since.filter((type) => type === 'span.model_request_start')).toHaveLength(1);
  });

  it('an interrupt for a thread that is not there is refused', async () => {
    const live = await bed.live();
    await expect(
      live.send({ type: 'user.interrupt', session_thread_id: 'sthr_01AAAAAAAAAAAAAAAAAAAAAA' }),
    ).rejects.toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(await live.list()).toEqual([]);
  });
});
