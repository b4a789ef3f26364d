/** The permission policy `auto`: a judge allows, denies, or has the client asked. The scripted judge goes by words. */
import { describe, expect, it } from 'vitest';
import { failureOf } from '../support/control-plane.ts';
import { unique } from '../support/client.ts';
import { eventually } from '../support/process.ts';
import {
  message,
  modelRequests,
  only,
  script,
  textOf,
  typesOf,
  useTestbed,
  type Live,
} from '../support/turns.ts';

const bed = useTestbed();
const JUDGE = 'claude-haiku-4-5';

const ALLOWED = { type: 'auto', evaluated_permission: { type: 'allow' } };
const DENIED = { type: 'auto', evaluated_permission: { type: 'deny', reason_code: 'high_risk' } };
const ASKED = { type: 'auto', evaluated_permission: { type: 'ask', reason_code: 'indeterminate' } };
const CALL = ['span.model_request_start', 'agent.tool_use', 'span.model_request_end', 'agent.tool_result'];

async function liveUnderAuto(): Promise<{ live: Live; mark: string }> {
  const mark = unique('judge');
  const agent = await bed.agent({
    system: mark,
    tools: [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type: 'auto' } } }],
  });
  return { live: await bed.live({ agent: agent.id }), mark };
}

const bash = (command: string) => ({ call: 'bash', input: { command } });

describe('the policy auto', () => {
  it('a call that the judge allows runs, and nobody is asked', async () => {
    const { live, mark } = await liveUnderAuto();
    const turn = await live.turn(script(bash('echo it ran'), { say: 'told: {{result}}' }));
    const [use] = only(turn, 'agent.tool_use');
    expect(use?.evaluated_permission).toBe('allow');
    expect(use?.evaluation).toEqual(ALLOWED);
    expect(textOf(only(turn, 'agent.message').at(-1))).toBe('told: it ran');
    expect(only(turn, 'session.status_idle')[0]?.stop_reason).toEqual({ type: 'end_turn' });
    expect(only(turn, 'span.model_request_start')).toHaveLength(2);

    const judged = (await modelRequests(mark)).filter(({ body }) => body.tools?.[0]?.name === 'judge_calls');
    expect(judged).toMatchObject([{ status: 200, body: { model: JUDGE } }]);
  });

  it('a call that the judge denies does not run: the agent gets an error and carries on', async () => {
    const { live } = await liveUnderAuto();
    const turn = await live.turn(
      script(bash('touch /tmp/proof # drover:deny'), bash('ls /tmp/proof'), { say: 'so: {{result}}' }),
    );
    const [use] = only(turn, 'agent.tool_use');
    expect(use?.evaluated_permission).toBe('deny');
    expect(use?.evaluation).toEqual(DENIED);
    expect(typesOf(turn).slice(4)).toEqual([
      ...CALL,
      ...CALL,
      'span.model_request_start',
      'agent.message',
      'span.model_request_end',
      'session.thread_status_idle',
      'session.usage',
      'session.status_idle',
    ]);
    const [refusal, listing] = only(turn, 'agent.tool_result');
    expect(refusal).toMatchObject({ tool_use_id: use?.id, is_error: true });
    expect(textOf(refusal)).toContain('judged too risky');
    expect(textOf(listing)).toContain('No such file');
    expect(only(turn, 'session.status_idle')[0]?.stop_reason).toEqual({ type: 'end_turn' });
    const confirm = { type: 'user.tool_confirmation', tool_use_id: use?.id ?? '', result: 'allow' } as const;
    expect(await failureOf(live.send(confirm))).toMatchObject({ status: 400 });
  });

  it.each([
    ['is unsure', 'drover:unsure'],
    ['cannot be asked', 'drover:judge-fails'],
  ])('where the judge %s the client is asked; what it allows runs', async (_, word) => {
    const { live } = await liveUnderAuto();
    const turn = await live.turn(script(bash(`echo it ran # ${word}`), { say: 'told: {{result}}' }));
    const [use] = only(turn, 'agent.tool_use');
    expect(use?.evaluated_permission).toBe('ask');
    expect(use?.evaluation).toEqual(ASKED);
    expect(only(turn, 'agent.tool_result')).toEqual([]);
    expect(only(turn, 'session.error')).toEqual([]);
    expect(only(turn, 'session.status_idle')[0]?.stop_reason).toEqual({
      type: 'requires_action',
      event_ids: [use?.id],
    });
    await live.send({ type: 'user.tool_confirmation', tool_use_id: use?.id ?? '', result: 'allow' });
    expect((await live.next('session.status_idle', 2)).stop_reason).toEqual({ type: 'end_turn' });
    expect(textOf(only(live.events, 'agent.message').at(-1))).toBe('told: it ran');
  });

  it('what the client denies after the judge was unsure does not run', async () => {
    const { live } = await liveUnderAuto();
    const turn = await live.turn(script(bash('echo ran # drover:unsure'), { say: 'told: {{result}}' }));
    const id = only(turn, 'agent.tool_use')[0]?.id ?? '';
    const deny = { result: 'deny', deny_message: 'not today' } as const;
    await live.send({ type: 'user.tool_confirmation', tool_use_id: id, ...deny });
    await live.next('session.status_idle', 2);
    expect(textOf(only(live.events, 'agent.message').at(-1))).toContain('not today');
  });

  it('parallel calls are judged each for itself, in one request', async () => {
    const { live, mark } = await liveUnderAuto();
    const calls = [bash('echo one'), bash('echo two # drover:deny'), bash('echo three # drover:unsure')];
    const turn = await live.turn(script({ calls }, { say: '{{results}}' }));
    const uses = only(turn, 'agent.tool_use');
    expect(uses.map(({ evaluation }) => evaluation)).toEqual([ALLOWED, DENIED, ASKED]);
    expect(only(turn, 'session.status_idle')[0]?.stop_reason).toEqual({
      type: 'requires_action',
      event_ids: [uses[2]?.id],
    });
    await live.send({ type: 'user.tool_confirmation', tool_use_id: uses[2]?.id ?? '', result: 'allow' });
    expect((await live.next('session.status_idle', 2)).stop_reason).toEqual({ type: 'end_turn' });
    const results = new Map(only(live.events, 'agent.tool_result').map((one) => [one.tool_use_id, one]));
    expect(uses.map(({ id }) => results.get(id)?.is_error ?? false)).toEqual([false, true, false]);
    expect([0, 2].map((at) => textOf(results.get(uses[at]?.id ?? '')).trim())).toEqual(['one', 'three']);
    const asked = (await modelRequests(mark)).filter(({ body }) => body.tools?.[0]?.name === 'judge_calls');
    expect(asked).toHaveLength(1);
  });

  it('an interrupt while the judge is asked ends the turn, and nothing of the answer is written', async () => {
    const { live, mark } = await liveUnderAuto();
    await live.send(message(script(bash('echo never # drover:judge-waits'), { say: 'never' })));
    await eventually('the judge to be asked', async () =>
      (await modelRequests(mark)).some(({ body }) => body.tools?.[0]?.name === 'judge_calls'),
    );
    await live.interrupt();
    const idle = await live.next('session.status_idle');
    expect(idle.stop_reason).toEqual({ type: 'end_turn' });
    expect(only(live.events, 'agent.tool_use')).toEqual([]);
    expect(only(live.events, 'span.model_request_end')).toMatchObject([
      { is_error: false, model_usage: { input_tokens: 0, output_tokens: 0 } },
    ]);
  });

  it("the span's usage is that of the agent's model alone", async () => {
    const said = script(bash('echo it ran'), { say: 'done' });
    const agents = await Promise.all(
      (['auto', 'always_allow'] as const).map((type) =>
        bed.agent({
          system: 'Spend.',
          tools: [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type } } }],
        }),
      ),
    );
    const turns = await Promise.all(
      agents.map(async ({ id }) => await (await bed.live({ agent: id })).turn(said)),
    );
    const output = turns.map((turn) =>
      only(turn, 'span.model_request_end').map(({ model_usage }) => model_usage.output_tokens),
    );
    expect(output[0]).toEqual(output[1]);
  });
});
