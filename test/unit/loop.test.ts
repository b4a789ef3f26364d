import { describe, expect, test } from 'vitest';
import { NO_USAGE } from '../../src/log.ts';
import { PRICES } from '../support/policy.ts';
import { answer, message, simulate, toolResult, typesOf, type Simulation } from '../support/simulation.ts';

const end = { outcome: { stop: 'end_turn' as const } };
const idleTrio = ['session.thread_status_idle', 'session.usage', 'session.status_idle'];

function provide(simulation: Simulation): void {
  const provision = simulation.running.find(({ operation }) => operation.kind === 'provision');
  if (!provision) throw new Error('nothing is being provisioned');
  const hand = { id: simulation.id('hand'), kind: 'test' };
  simulation.finish(provision, [{ event: { id: simulation.id(), type: 'x.hand_provisioned', hand } }]);
}

function think(simulation: Simulation, parts: Parameters<typeof answer>[2]): void {
  const model = simulation.running.find(({ operation }) => operation.kind === 'model');
  if (!model) throw new Error('no model request is under way');
  simulation.finish(model, answer(simulation, model.spanId, parts));
}

function runTools(simulation: Simulation): void {
  for (const one of simulation.running.filter(({ operation }) => operation.kind === 'tool')) {
    simulation.finish(one, toolResult(simulation, one));
  }
}

function lastStop(simulation: Simulation): unknown {
  const event = simulation.log.entries.findLast(({ event }) => event.type === 'session.status_idle')?.event;
  return event?.type === 'session.status_idle' ? event.stop_reason : undefined;
}

describe('a plain turn', () => {
  test('writes its events in the measured order', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    think(simulation, { text: 'hi', ...end });
    expect(typesOf(simulation)).toEqual([
      'user.message',
      'session.status_running',
      'session.thread_status_running',
      'user.message',
      'span.model_request_start',
      'agent.message',
      'span.model_request_end',
      ...idleTrio,
    ]);
    expect(lastStop(simulation)).toEqual({ type: 'end_turn' });
  });

  test('does nothing at all before the first message', () => {
    const simulation = simulate();
    expect(simulation.running).toEqual([]);
    expect(typesOf(simulation)).toEqual([]);
  });

  test('takes everything that was queued meanwhile at the next boundary, without an idle in between', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    simulation.send(message('m2'));
    simulation.send(message('m3'));
    think(simulation, { text: 'one', ...end });
    expect(typesOf(simulation)).not.toContain('session.status_idle');
    think(simulation, { text: 'all', ...end });
    const taken = simulation.log.entries.filter(
      ({ event }) => event.type === 'user.message' && event.processed_at !== null,
    );
    expect(taken.map(({ event }) => event.id)).toEqual(['m1', 'm2', 'm3']);
  });

  test('says that a refusal is one', () => {
    const simulation = simulate();
    const details = { type: 'refusal', category: 'cyber', explanation: 'no' } as const;
    simulation.send(message('m1'));
    think(simulation, { outcome: { stop: 'refusal', details } });
    expect(lastStop(simulation)).toEqual({ type: 'refusal' });
    expect(simulation.log.entries.at(-1)?.event).toMatchObject({ stop_details: details });
  });

  test('asks again after pause_turn', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    think(simulation, { text: 'wait', outcome: { stop: 'pause_turn' } });
    expect(simulation.running.map(({ operation }) => operation.kind)).toEqual(['model']);
  });

  test('says at every turn that MCP servers cannot be reached, and goes on', () => {
    const simulation = simulate({ mcpServers: ['github'] });
    simulation.send(message('m1'));
    const error = simulation.log.entries.find(({ event }) => event.type === 'session.error')?.event;
    expect(error).toMatchObject({
      error: { type: 'mcp_connection_failed_error', mcp_server_name: 'github' },
    });
    think(simulation, { text: 'hi', ...end });
    expect(lastStop(simulation)).toEqual({ type: 'end_turn' });
  });
});

describe('tools', () => {
  test('a hand is provisioned by the first call, once', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    think(simulation, { tools: ['bash', 'read'], outcome: { stop: 'tool_use' } });
    expect(simulation.running.map(({ operation }) => operation.kind)).toEqual(['provision']);
    provide(simulation);
    expect(simulation.running.map(({ operation }) => operation.kind)).toEqual(['tool', 'tool']);
    runTools(simulation);
    think(simulation, { tools: ['bash'], outcome: { stop: 'tool_use' } });
    expect(simulation.running.map(({ operation }) => operation.kind)).toEqual(['tool']);
  });

  test('a call that the judge denies gets an error, and the agent carries on without anybody being asked', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    think(simulation, { judged: ['deny'], outcome: { stop: 'tool_use' } });
    expect(simulation.running.map(({ operation }) => operation.kind)).toEqual(['model']);
    expect(typesOf(simulation)).not.toContain('session.status_idle');
    const result = simulation.log.entries.find(({ event }) => event.type === 'agent.tool_result')?.event;
    expect(result).toMatchObject({ is_error: true });
    expect(JSON.stringify(result)).toContain('judged too risky');
    think(simulation, { text: 'another way', ...end });
    expect(lastStop(simulation)).toEqual({ type: 'end_turn' });
  });

  test('of calls that the judge parts, one is refused, one runs, and the client is asked about the last', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    think(simulation, { judged: ['deny', 'allow', 'ask'], outcome: { stop: 'tool_use' } });
    provide(simulation);
    runTools(simulation);
    const [, , asked] = simulation.log.entries.filter(({ event }) => event.type === 'agent.tool_use');
    const id = asked?.event.id ?? '';
    expect(lastStop(simulation)).toEqual({ type: 'requires_action', event_ids: [id] });
    simulation.send({ id: 'c1', type: 'user.tool_confirmation', tool_use_id: id, result: 'allow' });
    expect(simulation.running).toMatchObject([{ operation: { kind: 'tool', callId: id } }]);
  });

  test('what the judge cost is in the cost of the session, and not in its tokens', () => {
    const price = { input: 1_000_000, output: 0, cacheWrite5m: 0, cacheWrite1h: 0, cacheRead: 0 };
    const prices = { ...PRICES, models: { ...PRICES.models, judge: price } };
    const simulation = simulate({ prices, judgeModel: 'judge' });
    simulation.send(message('m1'));
    const [model] = simulation.running;
    if (!model) throw new Error('no model request is under way');
    const drafts = answer(simulation, model.spanId, { text: 'hi', ...end });
    const charges = [{ model: 'judge', usage: { ...NO_USAGE, input_tokens: 3 } }];
    simulation.finish(
      model,
      drafts.map((draft) => ('event' in draft ? { ...draft, extra: { ...draft.extra, charges } } : draft)),
    );
    const usage = simulation.log.entries.findLast(({ event }) => event.type === 'session.usage')?.event;
    expect(usage).toMatchObject({
      usage: { input_tokens: 0, list_cost: { amount: '3', currency: 'USD' } },
    });
  });

  test('a hand that cannot be provisioned is an error that the model sees', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    think(simulation, { tools: ['bash'], outcome: { stop: 'tool_use' } });
    const [provision] = simulation.running;
    if (!provision) throw new Error('nothing is being provisioned');
    simulation.finish(provision, [{ event: { id: 'f', type: 'x.hand_failed', reason: 'no image' } }]);
    const result = simulation.log.entries.find(({ event }) => event.type === 'agent.tool_result')?.event;
    expect(JSON.stringify(result)).toContain('no image');
    expect(simulation.running.map(({ operation }) => operation.kind)).toEqual(['model']);
  });

  test('a lost hand is replaced by the next call', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    think(simulation, { tools: ['bash'], outcome: { stop: 'tool_use' } });
    provide(simulation);
    const [one] = simulation.running;
    if (!one) throw new Error('no tool is running');
    const handId = simulation.state().hand?.id ?? '';
    simulation.finish(one, [
      ...toolResult(simulation, one, 'lost'),
      { event: { id: simulation.id(), type: 'x.hand_lost', hand_id: handId, reason: 'killed' } },
    ]);
    think(simulation, { tools: ['bash'], outcome: { stop: 'tool_use' } });
    expect(simulation.running.map(({ operation }) => operation.kind)).toEqual(['provision']);
  });
});

describe('waiting', () => {
  function waitingOnTwo(): { simulation: Simulation; ids: string[] } {
    const simulation = simulate();
    simulation.send(message('m1'));
    think(simulation, { custom: ['a', 'b'], outcome: { stop: 'tool_use' } });
    const stop = lastStop(simulation) as { event_ids: string[] };
    return { simulation, ids: stop.event_ids };
  }

  test('idle names exactly the open calls, and again the rest after a partial answer', () => {
    const { simulation, ids } = waitingOnTwo();
    expect(ids).toHaveLength(2);
    simulation.send({ id: 'r1', type: 'user.custom_tool_result', custom_tool_use_id: ids[0] ?? '' });
    expect(lastStop(simulation)).toEqual({ type: 'requires_action', event_ids: [ids[1]] });
    simulation.send({ id: 'r2', type: 'user.custom_tool_result', custom_tool_use_id: ids[1] ?? '' });
    expect(simulation.running.map(({ operation }) => operation.kind)).toEqual(['model']);
    expect(typesOf(simulation).slice(-4)).toEqual([
      'user.custom_tool_result',
      'session.status_running',
      'session.thread_status_running',
      'span.model_request_start',
    ]);
  });

  test('a second answer to the same call changes nothing', () => {
    const { simulation, ids } = waitingOnTwo();
    for (const id of ['r1', 'r2']) {
      simulation.send({ id, type: 'user.custom_tool_result', custom_tool_use_id: ids[0] ?? '' });
    }
    expect(simulation.running).toEqual([]);
    expect(lastStop(simulation)).toEqual({ type: 'requires_action', event_ids: [ids[1]] });
  });

  test('an interrupt closes what is open without asking the model', () => {
    const { simulation, ids } = waitingOnTwo();
    simulation.send({ id: 'i1', type: 'user.interrupt' });
    const closed = simulation.log.entries.flatMap(({ event }) =>
      event.type === 'agent.tool_result' ? [event.tool_use_id] : [],
    );
    expect(closed).toEqual(ids);
    expect(simulation.running).toEqual([]);
    expect(lastStop(simulation)).toEqual({ type: 'end_turn' });
  });

  test('allow runs the call, deny does not and says why', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    think(simulation, { asks: ['bash', 'write'], outcome: { stop: 'tool_use' } });
    const [first = '', second = ''] = (lastStop(simulation) as { event_ids: string[] }).event_ids;
    const deny = { result: 'deny' as const, deny_message: 'too risky' };
    simulation.send({ id: 'c1', type: 'user.tool_confirmation', tool_use_id: first, ...deny });
    simulation.send({ id: 'c2', type: 'user.tool_confirmation', tool_use_id: second, result: 'allow' });
    provide(simulation);
    expect(simulation.running.map(({ operation }) => operation)).toMatchObject([
      { kind: 'tool', callId: second },
    ]);
    const denied = simulation.log.entries.find(({ event }) => event.type === 'agent.tool_result')?.event;
    expect(JSON.stringify(denied)).toContain('too risky');
  });

  test('a confirmation that comes too late is taken up and does nothing, also while another call waits', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    think(simulation, { asks: ['bash'], custom: ['lookup'], outcome: { stop: 'tool_use' } });
    const [ask = '', custom = ''] = (lastStop(simulation) as { event_ids: string[] }).event_ids;
    const deny = (id: string) =>
      simulation.send({ id, type: 'user.tool_confirmation', tool_use_id: ask, result: 'deny' });
    deny('c1');
    deny('c2');
    simulation.send({ id: 'r1', type: 'user.custom_tool_result', custom_tool_use_id: custom });
    think(simulation, { text: 'done', ...end });
    deny('c3');

    const taken = simulation.log.entries.filter(({ event }) => event.processed_at !== null);
    const confirmations = taken.filter(({ event }) => event.type === 'user.tool_confirmation');
    expect(confirmations.map(({ event }) => event.id)).toEqual(['c1', 'c2', 'c3']);
    expect(typesOf(simulation).slice(-4)).toEqual([
      'session.usage',
      'session.status_idle',
      'user.tool_confirmation',
      'user.tool_confirmation',
    ]);
    expect(typesOf(simulation).filter((type) => type === 'session.status_idle')).toHaveLength(3);
    expect(simulation.running).toEqual([]);
  });
});

describe('interrupting', () => {
  test('stops a model request and handles the message that came with it', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    simulation.send({ id: 'i1', type: 'user.interrupt' }, message('m2'));
    const [model] = simulation.running;
    expect(model?.cancelled).toBe(true);
    think(simulation, { outcome: { stop: 'interrupted' } });
    expect(typesOf(simulation).slice(-4)).toEqual([
      'span.model_request_end',
      'user.interrupt',
      'user.message',
      'span.model_request_start',
    ]);
  });

  test('ends the turn of a message that nobody has taken up yet', () => {
    const simulation = simulate();
    simulation.send(message('m1'), message('m2'), { id: 'i1', type: 'user.interrupt' });
    expect(simulation.running).toEqual([]);
    expect(typesOf(simulation).slice(-8)).toEqual([
      'session.status_running',
      'session.thread_status_running',
      'user.message',
      'user.message',
      'user.interrupt',
      ...idleTrio,
    ]);
    expect(lastStop(simulation)).toEqual({ type: 'end_turn' });
    simulation.send(message('m3'));
    expect(simulation.running.map(({ operation }) => operation.kind)).toEqual(['model']);
  });

  test('leaves what came after it to the next turn, also where nothing was taken up yet', () => {
    const simulation = simulate();
    const interrupts = ['i1', 'i2'].map((id) => ({ id, type: 'user.interrupt' }) as const);
    simulation.send(message('m1'), ...interrupts, message('m2'));
    expect(typesOf(simulation).slice(-7)).toEqual([
      'session.status_running',
      'session.thread_status_running',
      'user.message',
      'user.interrupt',
      'user.interrupt',
      'user.message',
      'span.model_request_start',
    ]);
  });

  test('of a session at rest ends nothing that comes later', () => {
    const simulation = simulate();
    simulation.send({ id: 'i1', type: 'user.interrupt' }, message('m1'));
    expect(simulation.running.map(({ operation }) => operation.kind)).toEqual(['model']);
  });

  test('stops tools; every call gets one result', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    think(simulation, { tools: ['bash', 'bash'], custom: ['ask'], outcome: { stop: 'tool_use' } });
    provide(simulation);
    simulation.send({ id: 'i1', type: 'user.interrupt' });
    runTools(simulation);
    const results = typesOf(simulation).filter((type) => type === 'agent.tool_result');
    expect(results).toHaveLength(3);
    expect(typesOf(simulation).slice(-3)).toEqual(idleTrio);
  });

  test('ends the wait before another try', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    think(simulation, {
      outcome: {
        stop: 'failed',
        failure: { kind: 'model_overloaded_error', message: 'busy', retryable: true },
      },
    });
    const [timer] = simulation.running;
    expect(timer?.operation.kind).toBe('timer');
    simulation.send({ id: 'i1', type: 'user.interrupt' });
    if (timer) simulation.finish(timer, []);
    expect(lastStop(simulation)).toEqual({ type: 'end_turn' });
  });
});

describe('failures of the model', () => {
  const busy = { kind: 'model_rate_limited_error', message: 'busy', retryable: true } as const;

  test('are retried with the time the server asked for, then given up', () => {
    const simulation = simulate({ modelAttempts: 3 });
    simulation.send(message('m1'));
    simulation.send(message('m2'));
    const waits: number[] = [];
    for (let tries = 0; tries < 2; tries += 1) {
      think(simulation, { outcome: { stop: 'failed', failure: { ...busy, retryAfterMs: 1000 + tries } } });
      const [timer] = simulation.running;
      if (timer?.operation.kind !== 'timer') throw new Error('no wait before the next try');
      waits.push(timer.operation.ms);
      expect(typesOf(simulation).slice(-3)).toEqual([
        'session.error',
        'session.status_rescheduled',
        'session.thread_status_rescheduled',
      ]);
      simulation.finish(timer, []);
      expect(typesOf(simulation).slice(-3)).toEqual([
        'session.status_running',
        'session.thread_status_running',
        'span.model_request_start',
      ]);
    }
    think(simulation, { outcome: { stop: 'failed', failure: busy } });
    expect(waits).toEqual([1000, 1001]);
    expect(lastStop(simulation)).toEqual({ type: 'retries_exhausted' });
    expect(simulation.state().queue).toEqual([]);
    simulation.send(message('m3'));
    expect(simulation.running.map(({ operation }) => operation.kind)).toEqual(['model']);
  });

  test('that cannot be cured end the turn at once', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    think(simulation, { outcome: { stop: 'failed', failure: { ...busy, retryable: false } } });
    expect(simulation.running).toEqual([]);
    expect(lastStop(simulation)).toEqual({ type: 'retries_exhausted' });
  });
});

test('termination stops what runs and ends the session', () => {
  const simulation = simulate();
  simulation.send(message('m1'));
  simulation.send({ id: 't1', type: 'session.status_terminated' });
  const [model] = simulation.running;
  expect(model?.cancelled).toBe(true);
  expect(simulation.finished).toBe(false);
  think(simulation, { outcome: { stop: 'interrupted' } });
  expect(simulation.finished).toBe(true);
  expect(typesOf(simulation).at(-1)).toBe('session.status_terminated');
});

describe('steering', () => {
  const midTurn = (steering: 'turn' | 'round'): Simulation => {
    const simulation = simulate({ steering });
    simulation.send(message('m1'));
    think(simulation, { tools: ['bash'], outcome: { stop: 'tool_use' } });
    provide(simulation);
    simulation.send(message('m2'));
    runTools(simulation);
    return simulation;
  };
  const isTaken = (simulation: Simulation): boolean =>
    simulation.log.entries.some(({ event }) => event.id === 'm2' && event.processed_at !== null);

  test('by turns takes a message up when the turn would end', () => {
    const simulation = midTurn('turn');
    expect(isTaken(simulation)).toBe(false);
    think(simulation, { text: 'one', ...end });
    expect(isTaken(simulation)).toBe(true);
    expect(typesOf(simulation)).not.toContain('session.status_idle');
  });

  test('by rounds takes it up beside the results of tools', () => {
    const simulation = midTurn('round');
    expect(isTaken(simulation)).toBe(true);
    expect(typesOf(simulation).slice(-3)).toEqual([
      'agent.tool_result',
      'user.message',
      'span.model_request_start',
    ]);
  });
});

describe('a call that reads the log', () => {
  test('runs at once, without a hand', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    const model = simulation.running[0];
    if (!model) throw new Error('no request');
    const drafts = answer(simulation, model.spanId, {
      tools: ['read_session_log'],
      outcome: { stop: 'tool_use' },
    });
    simulation.finish(
      model,
      drafts.map((draft) =>
        'event' in draft && draft.event.type === 'agent.tool_use'
          ? { ...draft, extra: { ...draft.extra, runner: 'log' as const } }
          : draft,
      ),
    );
    expect(simulation.running.map(({ operation }) => operation)).toMatchObject([
      { kind: 'tool', runner: 'log' },
    ]);
  });
});

describe('a window that fills', () => {
  const context = { clearAtTokens: 0, keepResults: 0, compactAtTokens: 100, keepAnswers: 1 };
  const full = { ...end, usage: { ...NO_USAGE, input_tokens: 80, output_tokens: 20 } };
  const isCompacting = ({ log }: Simulation): boolean =>
    log.entries.findLast(({ event }) => event.type === 'span.model_request_start')?.extra?.compact !==
    undefined;

  test('is summed up before the next request, once', () => {
    const simulation = simulate({ context });
    simulation.send(message('m1'));
    think(simulation, { text: 'long', ...full });
    simulation.send(message('m2'));
    expect(isCompacting(simulation)).toBe(true);
    think(simulation, { outcome: { stop: 'compacted' } });
    expect(isCompacting(simulation)).toBe(false);
    think(simulation, { text: 'short', ...end });
    simulation.send(message('m3'));
    expect(isCompacting(simulation)).toBe(false);
  });

  test('ends the turn where nothing makes the prompt fit', () => {
    const simulation = simulate({ context });
    simulation.send(message('m1'));
    const failure = {
      kind: 'model_request_failed_error',
      message: 'prompt is too long',
      retryable: false,
    } as const;
    for (let tries = 0; simulation.running.length > 0; tries += 1) {
      expect(tries).toBeLessThan(10);
      think(simulation, { outcome: { stop: 'failed', failure: { ...failure, tooLong: true } } });
    }
    const error = simulation.log.entries.find(({ event }) => event.type === 'session.error')?.event;
    expect(error).toMatchObject({ error: { type: 'compaction_limit_reached_error' } });
    expect(lastStop(simulation)).toEqual({ type: 'retries_exhausted' });
  });

  test('is left alone where compaction is off', () => {
    const simulation = simulate();
    simulation.send(message('m1'));
    const failure = {
      kind: 'model_request_failed_error',
      message: 'prompt is too long',
      retryable: false,
    } as const;
    think(simulation, { outcome: { stop: 'failed', failure: { ...failure, tooLong: true } } });
    const error = simulation.log.entries.find(({ event }) => event.type === 'session.error')?.event;
    expect(error).toMatchObject({ error: { type: 'model_request_failed_error' } });
  });
});
