/** Mid-conversation system messages (wire-api 11.4). */
import { BadRequestError } from '@anthropic-ai/sdk';
import { expect, it } from 'vitest';
import { unique } from '../support/client.ts';
import { failureOf } from '../support/control-plane.ts';
import {
  message,
  modelRequests,
  only,
  resultOf,
  script,
  textOf,
  useTestbed,
  type Live,
} from '../support/turns.ts';

const bed = useTestbed();
const LOOKUP = {
  type: 'custom',
  name: 'lookup',
  description: 'Looks up.',
  input_schema: { type: 'object' },
} as const;

const system = (text: string) => ({
  type: 'system.message' as const,
  content: [{ type: 'text' as const, text }],
});

async function liveOn(model: string): Promise<{ live: Live; mark: string }> {
  const mark = unique('system');
  const agent = await bed.agent({ model, system: mark, tools: [LOOKUP] });
  return { live: await bed.live({ agent: agent.id }), mark };
}

it('goes in as a system turn behind the message that it accompanies, and stays', async () => {
  const { live, mark } = await liveOn('claude-opus-4-8');
  const sent = await live.send(message(script({ say: 'one' }, { say: 'two' })), system('Be brief.'));
  expect(sent.map(({ type, processed_at }) => [type, processed_at])).toEqual([
    ['user.message', null],
    ['system.message', null],
  ]);
  await live.next('session.status_idle');
  await live.turn('and now?');
  const [first, second] = await modelRequests(mark);
  expect(first?.body.messages.map(({ role }) => role)).toEqual(['user', 'system']);
  expect(first?.body.messages[1]?.content).toEqual([{ type: 'text', text: 'Be brief.' }]);
  expect(second?.body.messages.map(({ role }) => role)).toEqual(['user', 'system', 'assistant', 'user']);
  const taken = only(await live.list(), 'system.message');
  expect(taken).toHaveLength(1);
  expect(taken[0]?.processed_at).not.toBeNull();
  expect(only(live.events, 'system.message').map(({ processed_at }) => processed_at === null)).toEqual([
    true,
    false,
  ]);
});

it('goes in behind the results that it accompanies, also when another call still waits', async () => {
  const { live, mark } = await liveOn('claude-opus-4-8');
  const turn = await live.turn(
    script({ calls: [{ call: 'lookup' }, { call: 'lookup' }] }, { say: '{{results}}' }),
  );
  const [one, two] = only(turn, 'agent.custom_tool_use').map(({ id }) => id);
  await live.send(resultOf(two, 'second'), system('Trust the second.'));
  const idle = await live.next('session.status_idle', 2);
  expect(idle.stop_reason).toEqual({ type: 'requires_action', event_ids: [one] });
  await live.send(resultOf(one, 'first'));
  await live.next('session.status_idle', 3);
  expect(textOf(only(live.events, 'agent.message').at(-1))).toBe('first\nsecond');
  const last = (await modelRequests(mark)).at(-1);
  expect(last?.body.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'system']);
});

it('is refused out of place, and by models that do not take it', async () => {
  const { live } = await liveOn('claude-opus-4-8');
  const refused = async (...events: Parameters<Live['send']>) => {
    const error = await failureOf(live.send(...events));
    expect(error).toBeInstanceOf(BadRequestError);
    return error.message;
  };
  expect(await refused(system('alone'))).toContain('events[0]');
  expect(await refused(system('first'), message('then'))).toContain('events[0]');
  expect(await refused(message('m'), system('one'), system('two'))).toContain('events[1]');
  expect(await refused({ type: 'user.interrupt' }, system('after'))).toContain('events[1]');
  expect(await live.list()).toEqual([]);

  const { live: older } = await liveOn('claude-sonnet-4-6');
  const error = await failureOf(older.send(message('m'), system('s')));
  expect(error.error).toMatchObject({
    error: { details: { error_code: 'model_does_not_support_mid_conversation_system' } },
  });
  expect(await older.list()).toEqual([]);
});
