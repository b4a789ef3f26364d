/** Plans of races: which requests reach a waiting session at the same moment. A seed gives the same plans again. */
import fc from 'fast-check';
import { UNKNOWN } from './refusals.ts';
import { message, resultOf, type Params } from './turns.ts';

/** Whom a call of the plan waits for: a custom tool's result, or a confirmation. */
export type CallKind = 'custom' | 'ask';

/** One event of a request. `call`: which of the open calls it is about, counted round. */
export type Move =
  | { readonly kind: 'answer'; readonly call: number; readonly deny?: boolean }
  | { readonly kind: 'interrupt' | 'message' | 'unknown call' | 'unknown thread' | 'wrong kind' };

/** The events of one request. */
export type Batch = readonly Move[];

export interface Plan {
  readonly calls: readonly CallKind[];
  /** Whether the first requests wait until the session does, or come while the model is being asked. */
  readonly early: boolean;
  /** Sent at the same moment. */
  readonly moment: readonly Batch[];
  /** Sent at the same moment, once the session rests. */
  readonly late: readonly Batch[];
  /** How calls that still wait are closed. */
  readonly ending: 'answer' | 'interrupt';
}

/** A call that a session waits for. */
export interface OpenCall {
  readonly id: string;
  readonly kind: CallKind;
}

const answer = (call: number, deny = false): Move => ({ kind: 'answer', call, deny });
const interrupt: Move = { kind: 'interrupt' };
const words: Move = { kind: 'message' };

/** What is worth trying again and again. `asks`: the first call waits for a confirmation. */
const PATTERNS: readonly { readonly asks?: true; readonly batches: readonly Batch[] }[] = [
  // Doubled answers.
  { batches: [[answer(0)], [answer(0)], [answer(0)]] },
  // Allow and deny of the same call, in two requests and in one.
  { asks: true, batches: [[answer(0)], [answer(0, true)]] },
  { asks: true, batches: [[answer(0), answer(0, true)]] },
  { asks: true, batches: [[answer(0, true), answer(0)], [answer(0)]] },
  // An answer and an interrupt.
  { batches: [[answer(0)], [interrupt]] },
  // Parallel calls, answered each by itself.
  { batches: [[answer(0)], [answer(1)], [answer(2)]] },
  // Parallel calls, answered in part.
  { batches: [[answer(1)]] },
  // An interrupt with the message that follows it, against an answer.
  { batches: [[interrupt, words], [answer(0)]] },
  // All answers with the message that follows them.
  { batches: [[answer(0), answer(1), answer(2), words]] },
  // A message that comes too early, or just in time.
  { batches: [[answer(0)], [words]] },
  { batches: [[interrupt], [words]] },
  { batches: [[interrupt], [interrupt]] },
];

const move: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('answer' as const), call: fc.nat(2), deny: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.constant(interrupt) },
  { weight: 2, arbitrary: fc.constant(words) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('unknown call' as const, 'unknown thread' as const, 'wrong kind' as const),
    }),
  },
);

const others = fc.array(fc.array(move, { minLength: 1, maxLength: 3 }), { maxLength: 3 });

const anyCall = fc.oneof(
  { weight: 7, arbitrary: fc.constant('custom' as const) },
  // Few that may run: each session with one makes a sandbox.
  { weight: 1, arbitrary: fc.constant('ask' as const) },
);

const plan: fc.Arbitrary<Plan> = fc.constantFrom(...PATTERNS).chain(({ asks, batches }) =>
  fc.record({
    calls: fc
      .tuple(asks ? fc.constant('ask' as const) : anyCall, fc.array(anyCall, { maxLength: 2 }))
      .map(([first, rest]) => [first, ...rest]),
    early: fc.integer({ min: 0, max: 5 }).map((one) => one === 0),
    moment: others.chain((more) => shuffled([...batches, ...more])),
    late: others,
    ending: fc.constantFrom('answer' as const, 'interrupt' as const),
  }),
);

function shuffled<T>(items: readonly T[]): fc.Arbitrary<readonly T[]> {
  return fc.shuffledSubarray([...items], { minLength: items.length, maxLength: items.length });
}

/** The plans of a seed. */
export function makePlans(seed: number, count: number): Plan[] {
  return fc.sample(plan, { seed, numRuns: count });
}

/** What a client answers to a call; `text` goes with it where there is room for one. */
export function answerTo({ id, kind }: OpenCall, text: string, deny = false): Params {
  if (kind === 'custom') return resultOf(id, text);
  const confirmation = { type: 'user.tool_confirmation', tool_use_id: id } as const;
  return deny
    ? { ...confirmation, result: 'deny', deny_message: text }
    : { ...confirmation, result: 'allow' };
}

/** The events of a batch. A move that needs a call is left out where there is none. */
export function toEvents(batch: Batch, calls: readonly OpenCall[], text: () => string): Params[] {
  return batch.flatMap((one): Params[] => {
    switch (one.kind) {
      case 'answer': {
        const call = calls[one.call % Math.max(1, calls.length)];
        return call ? [answerTo(call, text(), one.deny)] : [];
      }
      case 'interrupt':
        return [{ type: 'user.interrupt' }];
      case 'message':
        return [message(text())];
      case 'unknown call':
        return [answerTo({ id: `sevt_${UNKNOWN}`, kind: 'custom' }, text())];
      case 'unknown thread':
        return [{ type: 'user.interrupt', session_thread_id: `sthr_${UNKNOWN}` }];
      case 'wrong kind': {
        const [call] = calls;
        return call ? [answerTo({ ...call, kind: call.kind === 'ask' ? 'custom' : 'ask' }, text())] : [];
      }
    }
  });
}

const WAITING =
  /^Invalid user\.message event at events\[\d\]: waiting on responses to events \[sevt_\w+(, sevt_\w+)*\]; only /;
const SENSELESS =
  /^Invalid user\.\w+ event at events\[\d\]: (custom_tool_use_id: no custom tool use sevt_\w+ in this session|tool_use_id: the permission of sevt_\w+ is not `ask`|session_thread_id: thread sthr_\w+ not found in this session)$/;

/** Why a batch of the plan may be refused. `must`: no state of the session could take it. */
export function refusalOf(batch: Batch): { readonly must: boolean; readonly because: readonly RegExp[] } {
  const kinds = batch.map(({ kind }) => kind);
  const must = kinds.some((kind) => kind.startsWith('unknown') || kind === 'wrong kind');
  return {
    must,
    because: [...(kinds.includes('message') ? [WAITING] : []), ...(must ? [SENSELESS] : [])],
  };
}
