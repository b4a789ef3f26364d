import { describe, expect, test } from 'vitest';
import { checkEvents, namedCalls, type KnownCall } from '../../src/event-rules.ts';
import { EMPTY, type LoopState } from '../../src/loop/state.ts';
import { ApiError } from '../../src/wire/error.ts';
import type { EventParams } from '../../src/wire/event-params.ts';

const message: EventParams = { type: 'user.message', content: [{ type: 'text', text: 'hi' }] };
const interrupt: EventParams = { type: 'user.interrupt' };
const confirm = (id: string, rest: object = {}): EventParams => ({
  type: 'user.tool_confirmation',
  tool_use_id: id,
  result: 'allow',
  ...rest,
});
const answer = (id: string): EventParams => ({ type: 'user.custom_tool_result', custom_tool_use_id: id });

const CALLS: readonly KnownCall[] = [
  { id: 'asked', runner: 'hand', permission: 'ask' },
  { id: 'allowed', runner: 'hand', permission: 'allow' },
  { id: 'denied', runner: 'hand', permission: 'deny' },
  { id: 'custom', runner: 'client', permission: 'allow' },
];
const IDLE: LoopState = { ...EMPTY, threadId: 'sthr_own' };
const WAITING: LoopState = { ...IDLE, waitingOn: ['asked', 'custom'] };

function refusal(events: readonly EventParams[], loop: LoopState = IDLE): string {
  try {
    checkEvents(events, loop, CALLS);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    return error.message;
  }
  return 'taken';
}

describe('a message', () => {
  test('is taken at any time but while calls wait', () => {
    for (const status of ['idle', 'running', 'rescheduling'] as const) {
      expect(refusal([message, message], { ...IDLE, status })).toBe('taken');
    }
  });

  test('is refused while calls wait, in the words of the wire', () => {
    expect(refusal([message], WAITING)).toBe(
      'Invalid user.message event at events[0]: waiting on responses to events [asked, custom]; only ' +
        '`user.tool_confirmation`, `user.custom_tool_result`, `user.tool_result`, or `user.interrupt` may be sent',
    );
  });

  test('may come with the last of the answers, not with the first', () => {
    expect(refusal([confirm('asked'), answer('custom'), message], WAITING)).toBe('taken');
    expect(refusal([confirm('asked'), message], WAITING)).toContain(
      'Invalid user.message event at events[1]: waiting on responses to events [custom];',
    );
    expect(refusal([message, confirm('asked'), answer('custom')], WAITING)).toContain('events[0]');
  });

  test('may come when the answers are in already', () => {
    const answered = { ...WAITING, answered: ['custom'] };
    expect(refusal([message], answered)).toContain('events [asked];');
    const confirmations = { asked: { result: 'allow', message: null } } as const;
    expect(refusal([message], { ...answered, confirmations })).toBe('taken');
  });

  test('may follow an interrupt, in the same request or an earlier one', () => {
    expect(refusal([interrupt, message], WAITING)).toBe('taken');
    expect(refusal([message, interrupt], WAITING)).toContain('events[0]');
    expect(refusal([message], { ...WAITING, interrupts: ['sevt_i'] })).toBe('taken');
  });
});

describe('an interrupt', () => {
  test('is taken in any state, for the own thread or for all', () => {
    for (const loop of [IDLE, WAITING, { ...IDLE, status: 'running' as const }]) {
      expect(refusal([interrupt, interrupt], loop)).toBe('taken');
      expect(refusal([{ ...interrupt, session_thread_id: null }], loop)).toBe('taken');
      expect(refusal([{ ...interrupt, session_thread_id: 'sthr_own' }], loop)).toBe('taken');
    }
  });

  test('is refused for a thread that is not there', () => {
    expect(refusal([message, { ...interrupt, session_thread_id: 'sthr_x' }])).toBe(
      'Invalid user.interrupt event at events[1]: session_thread_id: thread sthr_x not found in this session',
    );
  });
});

describe('a confirmation', () => {
  test('is taken for a call that asks, open or long closed', () => {
    expect(refusal([confirm('asked')], WAITING)).toBe('taken');
    expect(refusal([confirm('asked'), confirm('asked')], WAITING)).toBe('taken');
    expect(refusal([confirm('asked')], IDLE)).toBe('taken');
    expect(refusal([confirm('asked', { result: 'deny', deny_message: 'no' })], WAITING)).toBe('taken');
  });

  test.each(['allowed', 'denied', 'custom'])('is refused for the call "%s", which does not ask', (id) => {
    expect(refusal([interrupt, confirm(id)])).toBe(
      `Invalid user.tool_confirmation event at events[1]: tool_use_id: the permission of ${id} is not \`ask\``,
    );
  });

  test('is refused for a call that is not there', () => {
    expect(refusal([confirm('nobody')])).toBe(
      'Invalid user.tool_confirmation event at events[0]: tool_use_id: no tool use nobody in this session',
    );
  });

  test('has a reason only with a denial', () => {
    expect(refusal([confirm('asked', { deny_message: 'why' })], WAITING)).toBe(
      'Invalid user.tool_confirmation event at events[0]: deny_message: only allowed with result `deny`',
    );
    expect(refusal([confirm('asked', { deny_message: null })], WAITING)).toBe('taken');
  });
});

describe('a custom tool result', () => {
  test('is taken for a custom call, open or long closed', () => {
    expect(refusal([answer('custom'), answer('custom')], WAITING)).toBe('taken');
    expect(refusal([answer('custom')], IDLE)).toBe('taken');
  });

  test.each(['asked', 'allowed', 'nobody'])('is refused for "%s"', (id) => {
    expect(refusal([message, answer(id)])).toBe(
      `Invalid user.custom_tool_result event at events[1]: custom_tool_use_id: no custom tool use ${id} in this session`,
    );
  });
});

test('namedCalls names every call once for each event that names it', () => {
  expect(namedCalls([message, confirm('a'), interrupt, answer('b'), confirm('a')])).toEqual(['a', 'b', 'a']);
});

describe('a system message', () => {
  const system: EventParams = { type: 'system.message', content: [{ type: 'text', text: 'be brief' }] };

  test('comes last, right behind what it accompanies', () => {
    expect(refusal([message, system])).toBe('taken');
    expect(refusal([answer('custom'), system], WAITING)).toBe('taken');
    for (const events of [
      [system],
      [system, message],
      [interrupt, system],
      [message, system, system],
      [message, system, message],
    ])
      expect(refusal(events)).toContain('Invalid system.message event at events[');
  });
});

describe('at the cap', () => {
  const CAPPED: LoopState = { ...IDLE, phase: { at: 'capped' } };

  test('only answers, confirmations and interrupts are taken', () => {
    expect(refusal([answer('custom')], CAPPED)).toBe('taken');
    expect(refusal([confirm('asked')], CAPPED)).toBe('taken');
    expect(refusal([interrupt], CAPPED)).toBe('taken');
    expect(refusal([message], CAPPED)).toContain('events[0]: session budget reached: ');
    expect(refusal([interrupt, message], CAPPED)).toContain('events[1]: session budget reached: ');
  });
});
