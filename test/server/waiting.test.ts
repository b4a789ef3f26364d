/** Conformance checks 21 to 26: custom tools, confirmations, and what a waiting session takes. */
import { describe, expect, it } from 'vitest';
import { failureOf } from '../support/control-plane.ts';
import { unique } from '../support/client.ts';
import {
  message,
  modelRequests,
  only,
  resultOf,
  script,
  textOf,
  typesOf,
  useTestbed,
  type Live,
} from '../support/turns.ts';

const bed = useTestbed();

const WEATHER = {
  type: 'custom',
  name: 'get_weather',
  description: 'Tells the weather of a city.',
  input_schema: { type: 'object', properties: { city: { type: 'string' } } },
} as const;
const ASKING = {
  type: 'agent_toolset_20260401',
  configs: [{ name: 'bash', permission_policy: { type: 'always_ask' } }],
} as const;

async function liveWith(tool: typeof WEATHER | typeof ASKING): Promise<{ live: Live; mark: string }> {
  const mark = unique('wait');
  const agent = await bed.agent({ system: mark, tools: [structuredClone(tool) as never] });
  return { live: await bed.live({ agent: agent.id }), mark };
}

function ask(city: string) {
  return { call: 'get_weather', input: { city } };
}

describe('waiting for the client', () => {
  it('check 21: a custom tool is asked for, answered, and its result reaches the model', async () => {
    const { live, mark } = await liveWith(WEATHER);
    const turn = await live.turn(script(ask('Paris'), { say: 'It is {{result}}.' }));
    const [use] = only(turn, 'agent.custom_tool_use');

    expect(use).toMatchObject({ name: 'get_weather', input: { city: 'Paris' } });
    expect(use).not.toHaveProperty('evaluated_permission');
    expect(typesOf(turn).slice(4)).toEqual([
      'span.model_request_start',
      'agent.custom_tool_use',
      'span.model_request_end',
      'session.thread_status_idle',
      'session.usage',
      'session.status_idle',
    ]);
    const stop = { type: 'requires_action', event_ids: [use?.id] };
    expect(only(turn, 'session.status_idle')[0]?.stop_reason).toEqual(stop);
    expect(only(turn, 'session.thread_status_idle')[0]?.stop_reason).toEqual(stop);
    expect((await live.read()).status).toBe('idle');

    const from = live.events.length;
    const [sent] = await live.send(resultOf(use?.id, 'sunny'));
    expect(sent?.processed_at).not.toBeNull();
    await live.next('session.status_idle', 2);
    expect(typesOf(live.events.slice(from))).toEqual([
      'user.custom_tool_result',
      'session.status_running',
      'session.thread_status_running',
      'span.model_request_start',
      'agent.message',
      'span.model_request_end',
      'session.thread_status_idle',
      'session.usage',
      'session.status_idle',
    ]);
    expect(only(live.events, 'agent.message').map(textOf)).toEqual(['It is sunny.']);
    const last = (await modelRequests(mark)).at(-1);
    expect(last?.body.messages.at(-1)).toMatchObject({
      role: 'user',
      content: [{ type: 'tool_result', content: [{ type: 'text', text: 'sunny' }] }],
    });
  });

  it('check 22: of two calls, the second idle names only the one that is open', async () => {
    const { live } = await liveWith(WEATHER);
    const calls = [ask('Paris'), ask('Rome')];
    const turn = await live.turn(script({ calls }, { say: '{{results}}' }));
    const [paris, rome] = only(turn, 'agent.custom_tool_use').map(({ id }) => id);
    expect(only(turn, 'session.status_idle')[0]?.stop_reason).toEqual({
      type: 'requires_action',
      event_ids: [paris, rome],
    });
    await live.send(resultOf(rome, 'rain'));
    const second = await live.next('session.status_idle', 2);
    expect(second.stop_reason).toEqual({ type: 'requires_action', event_ids: [paris] });
    await live.send(resultOf(paris, 'sun'));
    const third = await live.next('session.status_idle', 3);
    expect(third.stop_reason).toEqual({ type: 'end_turn' });
    expect(only(live.events, 'agent.message').map(textOf)).toEqual(['sun\nrain']);
  });

  it('check 23: a message is refused while calls wait, and the answer names them', async () => {
    const { live } = await liveWith(WEATHER);
    const turn = await live.turn(script(ask('Oslo'), { say: 'done' }));
    const id = only(turn, 'agent.custom_tool_use')[0]?.id ?? '';
    const before = await live.list();
    const error = await failureOf(live.send(message('are you there?')));
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(error.apiMessage).toBe(
      `Invalid user.message event at events[0]: waiting on responses to events [${id}]; only ` +
        '`user.tool_confirmation`, `user.custom_tool_result`, `user.tool_result`, or `user.interrupt` may be sent',
    );
    expect(await live.list()).toEqual(before);
    await live.send(resultOf(id, 'snow'));
    expect((await live.next('session.status_idle', 2)).stop_reason).toEqual({ type: 'end_turn' });
  });

  it('check 24: the same result again is taken and does nothing', async () => {
    const { live, mark } = await liveWith(WEATHER);
    const turn = await live.turn(script(ask('Oslo'), { say: 'done: {{result}}' }));
    const id = only(turn, 'agent.custom_tool_use')[0]?.id ?? '';
    await live.send(resultOf(id, 'snow'));
    await live.next('session.status_idle', 2);
    const [again] = await live.send(resultOf(id, 'hail'));
    expect(again?.type).toBe('user.custom_tool_result');

    const next = await live.turn(script({ say: 'still fine' }));
    expect(only(next, 'agent.message').map(textOf)).toEqual(['still fine']);
    expect(await modelRequests(mark)).toHaveLength(3);
    expect(JSON.stringify((await modelRequests(mark)).at(-1)?.body)).not.toContain('hail');
    expect(only(live.events, 'session.status_running')).toHaveLength(3);
  });

  it('an answer to a call that is not there is refused', async () => {
    const { live } = await liveWith(WEATHER);
    const unknown = 'sevt_01AAAAAAAAAAAAAAAAAAAAAA';
    const error = await failureOf(live.send(resultOf(unknown, 'x')));
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(error.message).toContain(unknown);
  });

  it('check 25: a denied call is not run, and the model is told why', async () => {
    const { live } = await liveWith(ASKING);
    const turn = await live.turn(
      script({ call: 'bash', input: { command: 'echo ran > /tmp/proof' } }, { say: 'told: {{result}}' }),
    );
    const [use] = only(turn, 'agent.tool_use');
    expect(use).toMatchObject({ evaluated_permission: 'ask', evaluation: { type: 'always_ask' } });
    expect(only(turn, 'session.status_idle')[0]?.stop_reason).toEqual({
      type: 'requires_action',
      event_ids: [use?.id],
    });
    await live.send({
      type: 'user.tool_confirmation',
      tool_use_id: use?.id ?? '',
      result: 'deny',
      deny_message: 'not on my machine',
    });
    await live.next('session.status_idle', 2);
    const [refusal] = only(live.events, 'agent.tool_result');
    expect(refusal).toMatchObject({ tool_use_id: use?.id, is_error: true });
    expect(textOf(refusal)).toContain('not on my machine');
    expect(textOf(only(live.events, 'agent.message').at(-1))).toContain('not on my machine');

    await live.send(message(script({ call: 'bash', input: { command: 'ls /tmp/proof' } }, { say: 'ok' })));
    const second = await live.next('agent.tool_use', 2);
    await live.send({ type: 'user.tool_confirmation', tool_use_id: second.id, result: 'allow' });
    const listing = await live.next('agent.tool_result', 2);
    expect(listing).toMatchObject({ tool_use_id: second.id, is_error: true });
    expect(textOf(listing)).toContain('No such file');
  });

  it('check 25: an allowed call runs', async () => {
    const { live } = await liveWith(ASKING);
    const turn = await live.turn(
      script({ call: 'bash', input: { command: 'echo it ran' } }, { say: 'told: {{result}}' }),
    );
    const id = only(turn, 'agent.tool_use')[0]?.id ?? '';
    const from = live.events.length;
    const [sent] = await live.send({ type: 'user.tool_confirmation', tool_use_id: id, result: 'allow' });
    expect(sent?.processed_at).toBeNull();
    await live.next('session.status_idle', 2);
    expect(typesOf(live.events.slice(from))).toEqual([
      'user.tool_confirmation',
      'session.status_running',
      'session.thread_status_running',
      'user.tool_confirmation',
      'agent.tool_result',
      'span.model_request_start',
      'agent.message',
      'span.model_request_end',
      'session.thread_status_idle',
      'session.usage',
      'session.status_idle',
    ]);
    expect(textOf(only(live.events, 'agent.message').at(-1))).toBe('told: it ran');
  });

  it('check 26: a confirmation that makes no sense is refused', async () => {
    const { live } = await liveWith(ASKING);
    const turn = await live.turn(
      script(
        {
          calls: [
            { call: 'bash', input: { command: 'true' } },
            { call: 'glob', input: { pattern: '*' } },
          ],
        },
        { say: 'ok' },
      ),
    );
    const ids = new Map(only(turn, 'agent.tool_use').map(({ name, id }) => [name, id]));
    const confirm = { type: 'user.tool_confirmation', result: 'allow' } as const;
    const before = await live.list();
    const attempts = [
      { ...confirm, tool_use_id: ids.get('glob') ?? '' },
      { ...confirm, tool_use_id: ids.get('bash') ?? '', deny_message: 'but why' },
      { ...confirm, tool_use_id: 'sevt_01AAAAAAAAAAAAAAAAAAAAAA' },
    ];
    for (const attempt of attempts) {
      const error = await failureOf(live.send(attempt));
      expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
      expect(error.message).toContain('events[0]');
    }
    expect(await live.list()).toEqual(before);
    await live.send({ ...confirm, tool_use_id: ids.get('bash') ?? '' });
    expect((await live.next('session.status_idle', 2)).stop_reason).toEqual({ type: 'end_turn' });
  });
});
