/** Budgets (wire-api 27.3, conformance check 45): the cap, what is taken at it, and how a session goes on. */
import { BadRequestError } from '@anthropic-ai/sdk';
import { describe, expect, it } from 'vitest';
import { unique } from '../support/client.ts';
import { failureOf } from '../support/control-plane.ts';
import {
  message,
  modelRequests,
  only,
  resultOf,
  script,
  textOf,
  typesOf,
  untilIdle,
  useTestbed,
  type Live,
} from '../support/turns.ts';

const bed = useTestbed();
const { sessions } = bed.client.beta;

const cents = (amount: string) => ({ type: 'limit', max_list_cost: { amount, currency: 'USD' } }) as const;
/** Costs more than a cent by itself: some forty thousand tokens. */
const DEAR = `\n${'many words '.repeat(15_000)}`;
const WEATHER = {
  type: 'custom',
  name: 'get_weather',
  description: 'Tells the weather.',
  input_schema: { type: 'object' },
} as const;

/** A session that may cost a cent, with an agent that can be told apart in what the model receives. */
async function poor(tools?: readonly object[]): Promise<{ live: Live; mark: string }> {
  const mark = unique('budget');
  const agent = await bed.agent({ system: mark, ...(tools ? { tools: tools as never } : {}) });
  return { live: await bed.live({ agent: agent.id, budget: cents('1') }), mark };
}

function lastStop(live: Live): unknown {
  return only(live.events, 'session.status_idle').at(-1)?.stop_reason;
}

async function refusal(call: Promise<unknown>): Promise<{ code: unknown; message: string }> {
  const error = await failureOf(call);
  expect(error).toBeInstanceOf(BadRequestError);
  const { details } = (error.error as { error: { details?: { error_code?: unknown } } }).error;
  return { code: details?.error_code, message: error.message };
}

describe('a budget', () => {
  it('check 45: stops the session once it is spent, refuses messages, and goes on when it is raised', async () => {
    const { live, mark } = await poor();
    await live.turn(`${script({ say: 'one' }, { stop: 'end_turn' }, { say: 'two' })}${DEAR}`);
    expect(lastStop(live), 'the request that goes over it is the last one, and is answered').toEqual({
      type: 'end_turn',
    });
    const from = live.events.length;
    const [sent] = await live.send(message('more'));
    await live.next('session.status_idle', 2);
    expect(typesOf(live.events.slice(from))).toEqual([
      'user.message',
      'session.status_running',
      'session.thread_status_running',
      'user.message',
      'session.thread_status_idle',
      'session.usage',
      'session.status_idle',
    ]);
    expect(lastStop(live)).toEqual({ type: 'budget_reached' });
    expect(only(live.events, 'session.thread_status_idle').at(-1)?.stop_reason).toEqual({
      type: 'budget_reached',
    });
    expect(await modelRequests(mark)).toHaveLength(1);
    expect(await live.read()).toMatchObject({ status: 'idle', budget: cents('1') });

    const before = await live.list();
    expect((await refusal(live.send(message('again')))).message).toContain(
      'session budget reached: consumed list cost has met `budget.max_list_cost`; only `user.tool_confirmation`, ' +
        '`user.tool_result`, `user.custom_tool_result`, and `user.interrupt` are accepted until the budget is raised',
    );
    expect(await live.list()).toEqual(before);

    const spent = Number((await live.read()).usage.list_cost?.amount);
    expect(spent).toBeGreaterThan(1);
    const low = await refusal(sessions.update(live.id, { budget: cents(String(spent)) }));
    expect(low.code).toBe('budget_not_raised');

    await sessions.update(live.id, { budget: cents('500') });
    await live.next('session.status_idle', 3);
    expect(only(live.events, 'agent.message').map(textOf)).toEqual(['one', 'two']);
    expect(lastStop(live)).toEqual({ type: 'end_turn' });
    const [updated] = only(live.events, 'session.updated');
    expect(updated).toMatchObject({ budget: cents('500') });
    expect(updated).not.toHaveProperty('title');
    expect((await live.list()).filter(({ id }) => id === sent?.id)).toHaveLength(1);
  });

  it('check 45: cannot be added, put below what was spent, or set for a model without a price', async () => {
    const free = await bed.live();
    expect((await refusal(sessions.update(free.id, { budget: cents('100') }))).code).toBe(
      'budget_create_only',
    );
    expect(await free.list()).toEqual([]);

    const unpriced = await bed.agent({ model: 'my-own-model' });
    const refused = await refusal(bed.create({ agent: unpriced.id, budget: cents('100') }));
    expect(refused.code).toBe('model_not_budgetable');

    const rich = await bed.live({ budget: cents('900') });
    await rich.turn(`${script({ say: 'one' })}${DEAR}`);
    const low = await refusal(sessions.update(rich.id, { budget: cents('1') }));
    expect(low).toEqual({
      code: 'budget_not_raised',
      message: expect.stringContaining(
        "budget.max_list_cost must be greater than the session's consumed list cost",
      ),
    });
    for (const amount of ['0', '01', '1.5', '-1', '']) {
      expect((await refusal(bed.create({ budget: cents(amount) }))).message, amount).toContain(
        'budget.max_list_cost.amount',
      );
    }
  });

  it('stops a turn between a tool and the next model request, and the turn goes on where it was', async () => {
    const { live, mark } = await poor();
    await live.send(
      message(
        `${script({ call: 'bash', input: { command: 'echo done' } }, { say: 'It said {{result}}.' })}${DEAR}`,
      ),
    );
    await live.next('session.status_idle');
    expect(lastStop(live)).toEqual({ type: 'budget_reached' });
    expect(textOf(only(live.events, 'agent.tool_result')[0])).toBe('done');
    expect(await modelRequests(mark)).toHaveLength(1);

    await sessions.update(live.id, { budget: null });
    await live.next('session.status_idle', 2);
    expect(textOf(only(live.events, 'agent.message').at(-1))).toBe('It said done.');
    expect((await live.read()).budget).toBeNull();
    expect((await refusal(sessions.update(live.id, { budget: cents('900') }))).code).toBe(
      'budget_create_only',
    );
  });

  it('yields to calls that wait for the client, and holds once they are answered', async () => {
    const { live, mark } = await poor([WEATHER]);
    await live.send(message(`${script({ call: 'get_weather' }, { say: 'It is {{result}}.' })}${DEAR}`));
    await live.next('session.status_idle');
    const [use] = only(live.events, 'agent.custom_tool_use');
    expect(lastStop(live)).toEqual({ type: 'requires_action', event_ids: [use?.id] });
    await live.send(resultOf(use?.id, 'sunny'));
    await live.next('session.status_idle', 2);
    expect(lastStop(live)).toEqual({ type: 'budget_reached' });
    expect(await modelRequests(mark)).toHaveLength(1);
    await sessions.update(live.id, { budget: cents('800') });
    await live.next('session.status_idle', 3);
    expect(textOf(only(live.events, 'agent.message').at(-1))).toBe('It is sunny.');
  });

  it('makes an interrupt at the cap an answer without effect, and without a trace', async () => {
    const { live } = await poor();
    await live.turn(`${script({ say: 'one' }, { stop: 'end_turn' }, { say: 'two' })}${DEAR}`);
    await live.send(message('more'));
    await live.next('session.status_idle', 2);
    const before = await live.list();
    const [answered] = await live.send({ type: 'user.interrupt' });
    expect(answered).toMatchObject({ type: 'user.interrupt', id: expect.stringMatching(/^sevt_/) });
    expect(await live.list()).toEqual(before);
    await sessions.update(live.id, { budget: null });
    await live.next('session.status_idle', 3);
    expect(only(live.events, 'agent.message').map(textOf)).toEqual(['one', 'two']);
  });

  it('is shown with what was spent in every usage event', async () => {
    const live = await bed.live({ budget: cents('900') });
    await live.turn(`${unique('new')}\n${script({ say: 'one' })}${DEAR}`);
    const [usage] = only(live.events, 'session.usage');
    expect(usage?.budget).toEqual(cents('900'));
    const cost = Number(usage?.usage.list_cost?.amount);
    const tokens = usage?.usage.cache_creation?.ephemeral_5m_input_tokens ?? 0;
    expect(tokens).toBeGreaterThan(40_000);
    // All of the prompt is written to the cache: 1.25 times $3 a million. Running costs 8 cents an hour.
    const running = Math.round(((usage?.usage.active_seconds ?? 0) * 8_000_000) / 3600);
    const written = (usage?.usage.output_tokens ?? 0) * 1500;
    expect(cost).toBe(Math.floor((tokens * 375 + written + running) / 1_000_000));
    const session = await untilIdle(bed.client, live.id);
    expect(session.usage.list_cost).toEqual(usage?.usage.list_cost);
  });
});
