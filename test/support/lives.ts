/** Random lives of a session: what happens to it, in whatever order, for any interpreter of the loop. */
import fc from 'fast-check';
import { toPrompt } from '../../src/brain/request.ts';
import { NO_USAGE, type Draft, type Entry, type ModelOutcome } from '../../src/log.ts';
import type { LoopState } from '../../src/loop/state.ts';
import type { Budget } from '../../src/wire/budget.ts';
import type { EventBody, SpanUsage } from '../../src/wire/event.ts';
import { answer, message, toolResult, type Running } from './simulation.ts';

/** A session under an interpreter. What an engine does about it may take a while. */
export interface Life {
  /** The log and the state as far as is known here. */
  readonly log: { readonly entries: readonly Entry[] };
  state(): LoopState;
  /** Operations under way. */
  readonly running: readonly Running[];
  id(prefix?: string): string;
  /** Reads the log as it is now. */
  look?(): Promise<void>;
  /** Waits until an operation is under way or nothing is to be done, and looks. */
  settle?(): Promise<void>;
  /** A client's events arrive. */
  send(...events: EventBody[]): void | Promise<void>;
  /** A client changes the session. */
  update(changes: { budget?: Budget | null }): void | Promise<void>;
  /** A client asks for a compaction. */
  wish(): void | Promise<void>;
  /** Everything but the log dies. */
  crash(): void | Promise<void>;
  /** An operation ends with these drafts. */
  finish(running: Running, drafts: readonly Draft[]): void | Promise<void>;
}

/** Something that happens. */
export type Move =
  | { kind: 'systemMessage' | 'raise' | 'unlimit' | 'compact' | 'crash' }
  | { kind: 'message' | 'interrupt' | 'interruptAndMessage' | 'duplicate' | 'lateResult' }
  | { kind: 'answer'; deny: boolean; which: number }
  | { kind: 'finish'; which: number; how: Finish };

/** How an operation ends. */
export interface Finish {
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

/** Any of them. */
export const move: fc.Arbitrary<Move> = fc.oneof(
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

/** What an operation that ends so writes. */
export function results(life: Life, one: Running, how: Finish): Draft[] {
  const { operation } = one;
  switch (operation.kind) {
    case 'timer':
      return [];
    case 'provision':
      return how.provisionFails || one.cancelled
        ? [{ event: { id: life.id(), type: 'x.hand_failed', reason: 'none left' } }]
        : [
            {
              event: {
                id: life.id(),
                type: 'x.hand_provisioned',
                hand: { id: life.id('hand'), kind: 'test' },
              },
            },
          ];
    case 'tool': {
      const drafts = toolResult(life, one);
      const handId = life.state().hand?.id;
      if (handId === undefined || operation.runner === 'log') return drafts;
      if (!how.handDies) return [...drafts, snapshotOf(life, operation.callId, handId)];
      return [...drafts, { event: { id: life.id(), type: 'x.hand_lost', hand_id: handId, reason: 'died' } }];
    }
    case 'model':
      return modelResults(life, one, how);
  }
}

function snapshotOf(life: Life, callId: string, handId: string): Draft {
  const noted = { id: life.id(), type: 'x.hand_snapshot', hand_id: handId, tool_use_id: callId } as const;
  return { event: { ...noted, reason: 'this is no hand' } };
}

function modelResults(life: Life, one: Running, how: Finish): Draft[] {
  const end = (outcome: ModelOutcome) => answer(life, one.spanId, { outcome });
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
  if (how.stop === 'unaffordable' && life.state().budget) return unaffordable(life, one);
  const usage = { ...NO_USAGE, input_tokens: how.tokens };
  if (isCompaction(life, one)) return compacted(life, one, usage);
  const calls = how.tools + how.asks + how.judged.length + how.custom > 0;
  const stop = how.stop === 'unaffordable' ? 'end_turn' : how.stop;
  return answer(life, one.spanId, {
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
function unaffordable(life: Life, one: Running): Draft[] {
  const usage = { ...NO_USAGE, input_tokens: 1_000_000_000 };
  const [draft] = answer(life, one.spanId, { outcome: { stop: 'unaffordable' } });
  if (!draft || !('event' in draft)) throw new Error('no end');
  return [{ ...draft, extra: { ...draft.extra, charges: [{ model: 'claude-sonnet-5', usage }] } }];
}

function isCompaction({ log }: Life, { spanId }: Running): boolean {
  return log.entries.some(({ event, extra }) => event.id === spanId && extra?.compact !== undefined);
}

function compacted(life: Life, { spanId }: Running, usage: SpanUsage): Draft[] {
  const { entries } = life.log;
  const start = entries.findLastIndex(({ event }) => event.id === spanId);
  const through = toPrompt(entries.slice(0, start + 1))?.summarises;
  const end = (outcome: ModelOutcome) => answer(life, spanId, { outcome, usage });
  if (through === undefined) {
    const failure = { kind: 'compaction_limit_reached_error', message: 'nothing', retryable: false } as const;
    return end({ stop: 'failed', failure });
  }
  const event = { id: life.id(), type: 'agent.thread_context_compacted' } as const;
  return [{ event, extra: { compaction: { summary: 'a summary', through } } }, ...end({ stop: 'compacted' })];
}

async function answerOne(life: Life, { deny, which }: { deny: boolean; which: number }): Promise<void> {
  const { waitingOn, calls } = life.state();
  const id = waitingOn[which % Math.max(1, waitingOn.length)];
  if (id === undefined) return;
  const call = calls.find((one) => one.id === id);
  if (call?.runner === 'client') {
    await life.send({ id: life.id(), type: 'user.custom_tool_result', custom_tool_use_id: id });
  } else {
    await life.send({
      id: life.id(),
      type: 'user.tool_confirmation',
      tool_use_id: id,
      result: deny ? 'deny' : 'allow',
    });
  }
}

/** Lets it happen. */
export async function play(life: Life, step: Move): Promise<void> {
  await life.look?.();
  const { waitingOn, phase, budget } = life.state();
  // The API refuses a message while calls wait (wire-api 13.1), and at the cap (27.3).
  const waiting = waitingOn.length > 0 || phase.at === 'capped';
  switch (step.kind) {
    case 'message':
      if (!waiting) await life.send(message(life.id()));
      break;
    case 'interrupt':
      await life.send({ id: life.id(), type: 'user.interrupt' });
      break;
    case 'interruptAndMessage':
      await life.send({ id: life.id(), type: 'user.interrupt' }, message(life.id()));
      break;
    case 'systemMessage':
      if (!waiting) await life.send(message(life.id()), note(life.id()));
      break;
    case 'raise':
      if (budget) await life.update({ budget: cents(Number(budget.max_list_cost.amount) + 2) });
      break;
    case 'unlimit':
      if (budget) await life.update({ budget: null });
      break;
    case 'compact':
      await life.wish();
      break;
    case 'crash':
      await life.crash();
      break;
    case 'duplicate': {
      const first = life.log.entries.find(({ event }) => event.type === 'user.message')?.event;
      if (first?.type === 'user.message') await life.send(message(first.id));
      break;
    }
    case 'lateResult': {
      const use = life.log.entries.find(({ event }) => event.type === 'agent.custom_tool_use')?.event;
      const open = use && life.state().calls.some(({ id }) => id === use.id);
      if (use && !open) {
        await life.send({ id: life.id(), type: 'user.custom_tool_result', custom_tool_use_id: use.id });
      }
      break;
    }
    case 'answer':
      await answerOne(life, step);
      break;
    case 'finish': {
      const one = life.running[step.which % Math.max(1, life.running.length)];
      if (one) await life.finish(one, results(life, one, step.how));
      break;
    }
  }
}

/** Lets everything end well. */
export async function bringToRest(life: Life): Promise<void> {
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
    await life.settle?.();
    const [one] = life.running;
    if (one) await life.finish(one, results(life, one, well));
    else if (life.state().phase.at === 'capped') await life.update({ budget: null });
    else if (life.state().waitingOn.length > 0) await answerOne(life, { deny: false, which: 0 });
    else return;
  }
  throw new Error('the session does not come to rest');
}

/** How its session is to be run. */
export const settings = fc.record({
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
