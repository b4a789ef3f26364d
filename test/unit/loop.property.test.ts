/** Random lives of a session: whatever happens in whatever order, the log stays legal and the session comes to rest. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toPrompt } from '../../src/brain/request.ts';
import { NO_USAGE, type Draft, type ModelOutcome } from '../../src/log.ts';
import type { Budget } from '../../src/wire/budget.ts';
import type { EventBody, SpanUsage } from '../../src/wire/event.ts';
import { foldView } from '../../src/view.ts';
import { checkLog } from '../support/invariants.ts';
import {
  answer,
  message,
  simulate,
  toolResult,
  type Running,
  type Simulation,
} from '../support/simulation.ts';

type Move =
  | { kind: 'systemMessage' | 'raise' | 'unlimit' | 'compact' | 'crash' }
  | { kind: 'message' | 'interrupt' | 'interruptAndMessage' | 'duplicate' | 'lateResult' }
  | { kind: 'answer'; deny: boolean; which: number }
  | { kind: 'finish'; which: number; how: Finish };

interface Finish {
  text: boolean;
  tools: number;
  asks: number;
  judged: ('allow' | 'ask' | 'deny')[];
  custom: number;
  stop: 'end_turn' | 'pause_turn' | 'refusal' | 'failed' | 'fatal' | 'tooLong' | 'unaffordable';
  tokens: number;
  handDies: boolean;
  provisionFails: boolean;
}

const finish = fc.record({
  text: fc.boolean(),
  tools: fc.integer({ min: 0, max: 2 }),
  asks: fc.integer({ min: 0, max: 1 }),
  judged: fc.array(fc.constantFrom('allow', 'ask', 'deny'), { maxLength: 2 }),
  custom: fc.integer({ min: 0, max: 2 }),
  stop: fc.constantFrom(
    'end_turn',
    'end_turn',
    'end_turn',
    'pause_turn',
    'refusal',
    'failed',
    'fatal',
    'tooLong',
    'unaffordable',
  ),
  tokens: fc.constantFrom(0, 10, 400, 1500),
  handDies: fc.boolean(),
  provisionFails: fc.boolean(),
}) as fc.Arbitrary<Finish>;

const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom<Move>({ kind: 'message' }) },
  { weight: 2, arbitrary: fc.constantFrom<Move>({ kind: 'interrupt' }, { kind: 'interruptAndMessage' }) },
  { weight: 1, arbitrary: fc.constantFrom<Move>({ kind: 'duplicate' }, { kind: 'lateResult' }) },
  { weight: 1, arbitrary: fc.constantFrom<Move>({ kind: 'systemMessage' }, { kind: 'compact' }) },
  { weight: 1, arbitrary: fc.constantFrom<Move>({ kind: 'raise' }, { kind: 'unlimit' }) },
  { weight: 1, arbitrary: fc.constant<Move>({ kind: 'crash' }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('answer' as const), deny: fc.boolean(), which: fc.nat(3) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('finish' as const), which: fc.nat(3), how: finish }),
  },
);

function results(simulation: Simulation, one: Running, how: Finish): Draft[] {
  const { operation } = one;
  switch (operation.kind) {
    case 'timer':
      return [];
    case 'provision':
      return how.provisionFails || one.cancelled
        ? [{ event: { id: simulation.id(), type: 'x.hand_failed', reason: 'none left' } }]
        : [
            {
              event: {
                id: simulation.id(),
                type: 'x.hand_provisioned',
                hand: { id: simulation.id('hand'), kind: 'test' },
              },
            },
          ];
    case 'tool': {
      const drafts = toolResult(simulation, one);
      const handId = simulation.state().hand?.id;
      if (!how.handDies || handId === undefined) return drafts;
      return [
        ...drafts,
        { event: { id: simulation.id(), type: 'x.hand_lost', hand_id: handId, reason: 'died' } },
      ];
    }
    case 'model':
      return modelResults(simulation, one, how);
  }
}

function modelResults(simulation: Simulation, one: Running, how: Finish): Draft[] {
  const end = (outcome: ModelOutcome) => answer(simulation, one.spanId, { outcome });
  if (one.cancelled) return end({ stop: 'interrupted' });
  if (how.stop === 'failed' || how.stop === 'fatal') {
    const retryable = how.stop === 'failed';
    return end({
      stop: 'failed',
      failure: { kind: 'model_overloaded_error', message: 'busy', retryable },
    });
  }
  if (how.stop === 'tooLong') {
    const failure = { kind: 'model_request_failed_error', message: 'too long', retryable: false } as const;
    return end({ stop: 'failed', failure: { ...failure, tooLong: true } });
  }
  if (how.stop === 'unaffordable' && simulation.state().budget) return unaffordable(simulation, one);
  const usage = { ...NO_USAGE, input_tokens: how.tokens };
  if (isCompaction(simulation, one)) return compacted(simulation, one, usage);
  const calls = how.tools + how.asks + how.judged.length + how.custom > 0;
  const stop = how.stop === 'unaffordable' ? 'end_turn' : how.stop;
  return answer(simulation, one.spanId, {
    ...(how.text ? { text: 'text' } : {}),
    tools: Array<string>(how.tools).fill('bash'),
    asks: Array<string>(how.asks).fill('write'),
    judged: how.judged,
    custom: Array<string>(how.custom).fill('custom'),
    outcome: { stop: calls ? 'tool_use' : stop },
    usage,
  });
}

/** Attempts that died may have spent all that was left. */
function unaffordable(simulation: Simulation, one: Running): Draft[] {
  const usage = { ...NO_USAGE, input_tokens: 1_000_000_000 };
  const [draft] = answer(simulation, one.spanId, { outcome: { stop: 'unaffordable' } });
  if (!draft || !('event' in draft)) throw new Error('no end');
  return [{ ...draft, extra: { ...draft.extra, charges: [{ model: 'claude-sonnet-5', usage }] } }];
}

function isCompaction({ log }: Simulation, { spanId }: Running): boolean {
  return log.entries.some(({ event, extra }) => event.id === spanId && extra?.compact !== undefined);
}

function compacted(simulation: Simulation, { spanId }: Running, usage: SpanUsage): Draft[] {
  const { entries } = simulation.log;
  const start = entries.findLastIndex(({ event }) => event.id === spanId);
  const through = toPrompt(entries.slice(0, start + 1))?.summarises;
  const end = (outcome: ModelOutcome) => answer(simulation, spanId, { outcome, usage });
  if (through === undefined) {
    const failure = { kind: 'compaction_limit_reached_error', message: 'nothing', retryable: false } as const;
    return end({ stop: 'failed', failure });
  }
  const event = { id: simulation.id(), type: 'agent.thread_context_compacted' } as const;
  return [{ event, extra: { compaction: { summary: 'a summary', through } } }, ...end({ stop: 'compacted' })];
}

function answerOne(simulation: Simulation, { deny, which }: { deny: boolean; which: number }): void {
  const { waitingOn, calls } = simulation.state();
  const id = waitingOn[which % Math.max(1, waitingOn.length)];
  if (id === undefined) return;
  const call = calls.find((one) => one.id === id);
  if (call?.runner === 'client') {
    simulation.send({ id: simulation.id(), type: 'user.custom_tool_result', custom_tool_use_id: id });
  } else {
    simulation.send({
      id: simulation.id(),
      type: 'user.tool_confirmation',
      tool_use_id: id,
      result: deny ? 'deny' : 'allow',
    });
  }
}

function play(simulation: Simulation, step: Move): void {
  const { waitingOn, phase, budget } = simulation.state();
  // The API refuses a message while calls wait (wire-api 13.1), and at the cap (27.3).
  const waiting = waitingOn.length > 0 || phase.at === 'capped';
  switch (step.kind) {
    case 'message':
      if (!waiting) simulation.send(message(simulation.id()));
      break;
    case 'interrupt':
      simulation.send({ id: simulation.id(), type: 'user.interrupt' });
      break;
    case 'interruptAndMessage':
      simulation.send({ id: simulation.id(), type: 'user.interrupt' }, message(simulation.id()));
      break;
    case 'systemMessage':
      if (!waiting) simulation.send(message(simulation.id()), note(simulation.id()));
      break;
    case 'raise':
      if (budget) simulation.update({ budget: cents(Number(budget.max_list_cost.amount) + 2) });
      break;
    case 'unlimit':
      if (budget) simulation.update({ budget: null });
      break;
    case 'compact':
      simulation.wish();
      break;
    case 'crash':
      simulation.crash();
      break;
    case 'duplicate': {
      const first = simulation.log.entries.find(({ event }) => event.type === 'user.message')?.event;
      if (first?.type === 'user.message') simulation.send(message(first.id));
      break;
    }
    case 'lateResult': {
      const use = simulation.log.entries.find(({ event }) => event.type === 'agent.custom_tool_use')?.event;
      const open = use && simulation.state().calls.some(({ id }) => id === use.id);
      if (use && !open) {
        simulation.send({ id: simulation.id(), type: 'user.custom_tool_result', custom_tool_use_id: use.id });
      }
      break;
    }
    case 'answer':
      answerOne(simulation, step);
      break;
    case 'finish': {
      const one = simulation.running[step.which % Math.max(1, simulation.running.length)];
      if (one) simulation.finish(one, results(simulation, one, step.how));
      break;
    }
  }
}

/** Lets everything end well. */
function bringToRest(simulation: Simulation): void {
  const well: Finish = {
    text: true,
    tools: 0,
    asks: 0,
    judged: [],
    custom: 0,
    stop: 'end_turn',
    handDies: false,
    provisionFails: false,
    tokens: 0,
  };
  for (let rounds = 0; rounds < 100; rounds += 1) {
    const [one] = simulation.running;
    if (one) simulation.finish(one, results(simulation, one, well));
    else if (simulation.state().phase.at === 'capped') simulation.update({ budget: null });
    else if (simulation.state().waitingOn.length > 0) answerOne(simulation, { deny: false, which: 0 });
    else return;
  }
  throw new Error('the session does not come to rest');
}

const settings = fc.record({
  steering: fc.constantFrom('turn' as const, 'round' as const),
  budget: fc.constantFrom(null, cents(1), cents(3)),
  context: fc.constantFrom(
    { clearAtTokens: 0, keepResults: 0, compactAtTokens: 0, keepAnswers: 0 },
    { clearAtTokens: 300, keepResults: 1, compactAtTokens: 1000, keepAnswers: 1 },
    { clearAtTokens: 0, keepResults: 0, compactAtTokens: 500, keepAnswers: 0 },
  ),
});

function cents(amount: number): Budget {
  return { type: 'limit', max_list_cost: { amount: String(amount), currency: 'USD' } };
}

function note(id: string): EventBody {
  return { id, type: 'system.message', content: [{ type: 'text', text: 'by the way' }] };
}

test('no order of events breaks a log', () => {
  fc.assert(
    fc.property(settings, fc.array(move, { maxLength: 60 }), (options, moves) => {
      const simulation = simulate(options);
      for (const step of moves) play(simulation, step);
      checkLog(simulation.log.entries, false);
      bringToRest(simulation);
      checkLog(simulation.log.entries, true);
      expect(simulation.state().status).toBe('idle');
      expect(simulation.state().queue).toEqual([]);
    }),
    { numRuns: 500 },
  );
});

test('what the log says of a session is what the loop remembers', () => {
  fc.assert(
    fc.property(settings, fc.array(move, { maxLength: 40 }), (options, moves) => {
      const simulation = simulate(options);
      for (const step of moves) play(simulation, step);
      bringToRest(simulation);
      const { loop } = foldView(undefined, simulation.log.entries);
      const known = simulation.state();
      for (const field of [
        'status',
        'queue',
        'interrupts',
        'calls',
        'waitingOn',
        'hand',
        'failures',
        'budget',
        'contextTokens',
        'mustCompact',
        'compactRequests',
        'trim',
      ] as const) {
        expect(loop[field], field).toEqual(known[field]);
      }
    }),
    { numRuns: 200 },
  );
});
