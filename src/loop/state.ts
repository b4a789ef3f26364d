/**
 * What the loop remembers of a session: a pure fold over drafts and over the comings and goings of operations.
 * Small (ids, no content) and plain JSON, so that it can be carried, compared and generated.
 *
 * Drafts may arrive in another order than they have in the log (Temporal delivers signals before activity
 * results), so client events only touch fields of their own: folding a client event before or after a server
 * event gives the same state.
 */
import {
  isQueuedType,
  promptTokens,
  type Draft,
  type Extra,
  type HiddenBody,
  type ModelFailure,
  type ModelOutcome,
  type SessionPolicy,
} from '../log.ts';
import type { Budget } from '../wire/budget.ts';
import type { EventBody, SpanUsage, StopDetails, StopReason } from '../wire/event.ts';
import { activeMs, addUsage, NOTHING_USED, type Totals } from './usage.ts';

/** A tool call of the last answer. */
export interface Call {
  readonly id: string;
  readonly name: string;
  /** Who runs it: a hand of ours, the client, or nobody but the harness that reads the log. */
  readonly runner: 'hand' | 'client' | 'log';
  readonly permission: 'allow' | 'ask' | 'deny';
  /** Whether a judge decided: a call that is denied is too risky then, else its tool is off. */
  readonly judged: boolean;
  readonly done: boolean;
  /** The call in a few words. */
  readonly summary: string;
}

/** Where a turn stands. */
export type Phase =
  | { readonly at: 'rest' }
  | { readonly at: 'thinking'; readonly spanId: string; readonly compacting: boolean }
  | { readonly at: 'calls' }
  | { readonly at: 'again' }
  | { readonly at: 'failed'; readonly failure: ModelFailure }
  | { readonly at: 'backoff'; readonly ms: number; readonly over: boolean }
  | { readonly at: 'ended'; readonly reason: StopReason; readonly details: StopDetails | null }
  /** A model request is due that the budget does not allow. */
  | { readonly at: 'capped' };

/** Operations that are under way. */
export interface InFlight {
  readonly model: boolean;
  readonly provision: boolean;
  readonly timer: boolean;
  readonly tools: readonly string[];
  /** Whether they have been told to stop. */
  readonly cancelled: boolean;
}

/** An answer to an ask. */
export interface Confirmation {
  readonly result: 'allow' | 'deny';
  readonly message: string | null;
}

/** A client's wish for a compaction. */
export interface CompactRequest {
  readonly id: string;
  readonly keepAnswers?: number;
}

/** The loop's whole memory. */
export interface LoopState {
  readonly agentName: string;
  readonly model: string;
  readonly threadId: string;
  readonly policy: SessionPolicy;
  readonly mcpServers: readonly string[];
  readonly status: 'idle' | 'running' | 'rescheduling' | 'terminated';
  readonly phase: Phase;
  readonly calls: readonly Call[];
  /** Messages not yet taken up, oldest first. */
  readonly queue: readonly string[];
  /** Interrupts not yet taken up. */
  readonly interrupts: readonly string[];
  /** Of the queue, what these interrupts came after. */
  readonly overtaken: readonly string[];
  /** Confirmations not yet stamped. */
  readonly stamps: readonly string[];
  readonly confirmations: Readonly<Record<string, Confirmation>>;
  /** Calls that the client has answered, also ones the loop has not seen yet. */
  readonly answered: readonly string[];
  /** What the last idle named. */
  readonly waitingOn: readonly string[];
  readonly failures: number;
  readonly hand: { readonly id: string; readonly kind: string } | null;
  readonly handFailure: string | null;
  readonly handTried: boolean;
  /** How many hands have been asked for and come, or not: names the next one, the same whoever asks. */
  readonly provisionings: number;
  readonly inFlight: InFlight;
  readonly totals: Totals;
  readonly runningSinceMs: number | null;
  /** The newest time that the loop was told. */
  readonly clockMs: number;
  readonly budget: Budget | null;
  /** How full the context window was after the last answer. */
  readonly contextTokens: number;
  /** The next request must be a compaction, whatever the window's size: the last one did not fit. */
  readonly mustCompact: boolean;
  /** Compactions that a client asked for and that are still to come. */
  readonly compactRequests: readonly CompactRequest[];
  /** How hard compactions have tried since the last answer; 0: not at all. */
  readonly trim: number;
}

const IDLE: InFlight = { model: false, provision: false, timer: false, tools: [], cancelled: false };
const LONGEST_PAUSE_MS = 60_000;
/** Where not even the hardest compaction makes a prompt that fits, the turn is over. */
const HARDEST_TRIM = 3;

/** The state before the first draft. */
export const EMPTY: LoopState = {
  agentName: '',
  model: '',
  threadId: '',
  policy: {
    modelAttempts: 8,
    modelRetryBaseMs: 1000,
    provision: 'lazy',
    network: 'none',
    steering: 'turn',
    context: { clearAtTokens: 0, keepResults: 0, compactAtTokens: 0, keepAnswers: 0 },
    prices: { models: {}, runtimeHour: 0 },
    judgeModel: null,
  },
  mcpServers: [],
  status: 'idle',
  phase: { at: 'rest' },
  calls: [],
  queue: [],
  interrupts: [],
  overtaken: [],
  stamps: [],
  confirmations: {},
  answered: [],
  waitingOn: [],
  failures: 0,
  hand: null,
  handFailure: null,
  handTried: false,
  provisionings: 0,
  inFlight: IDLE,
  totals: NOTHING_USED,
  runningSinceMs: null,
  clockMs: 0,
  budget: null,
  contextTokens: 0,
  mustCompact: false,
  compactRequests: [],
  trim: 0,
};

/** A policy with everything in it: logs from before a setting was there do without it. */
export function completePolicy(policy: Partial<SessionPolicy> = {}): SessionPolicy {
  return { ...EMPTY.policy, ...policy };
}

/** Folds drafts into the state. `nowMs`: the interpreter's clock, for the time spent running. */
export function fold(state: LoopState, drafts: readonly Draft[], nowMs: number): LoopState {
  let next = { ...state, clockMs: Math.max(state.clockMs, nowMs) };
  for (const draft of drafts) {
    if (next.status === 'terminated') break;
    next = 'processed' in draft ? takeUp(next, draft.processed) : foldEvent(next, draft, nowMs);
  }
  return next;
}

/** Notes that an operation began. */
export function began(
  state: LoopState,
  kind: 'model' | 'provision' | 'timer' | 'tool',
  callId = '',
): LoopState {
  const { inFlight } = state;
  const tools = kind === 'tool' ? [...inFlight.tools, callId] : inFlight.tools;
  return {
    ...state,
    handTried: state.handTried || kind === 'provision',
    inFlight: { ...inFlight, ...(kind === 'tool' ? {} : { [kind]: true }), tools },
  };
}

/** Notes that an operation is over; its drafts have been folded already. */
export function ended(
  state: LoopState,
  kind: 'model' | 'provision' | 'timer' | 'tool',
  callId = '',
): LoopState {
  const { inFlight } = state;
  const tools = inFlight.tools.filter((id) => kind !== 'tool' || id !== callId);
  const rest: InFlight = { ...inFlight, ...(kind === 'tool' ? {} : { [kind]: false }), tools };
  const phase: Phase =
    kind === 'timer' && state.phase.at === 'backoff' ? { ...state.phase, over: true } : state.phase;
  return {
    ...state,
    phase,
    inFlight: { ...rest, cancelled: rest.cancelled && isBusy({ ...state, inFlight: rest }) },
  };
}

/** Notes that what is under way has been told to stop. */
export function cancelled(state: LoopState): LoopState {
  return { ...state, inFlight: { ...state.inFlight, cancelled: true } };
}

/** Notes that the session is being deleted: nothing more is written. */
export function closed(state: LoopState): LoopState {
  return { ...state, status: 'terminated' };
}

/** Whether any operation is under way. */
export function isBusy({ inFlight }: LoopState): boolean {
  return inFlight.model || inFlight.provision || inFlight.timer || inFlight.tools.length > 0;
}

/** How long to wait before the next try: the server's word, else a bounded doubling. */
export function pauseMs(failures: number, failure: ModelFailure, baseMs: number): number {
  return failure.retryAfterMs ?? Math.min(LONGEST_PAUSE_MS, baseMs * 2 ** failures);
}

function takeUp(state: LoopState, id: string): LoopState {
  const without = (ids: readonly string[]): readonly string[] => ids.filter((other) => other !== id);
  const interrupts = without(state.interrupts);
  return {
    ...state,
    failures: state.queue.includes(id) ? 0 : state.failures,
    queue: without(state.queue),
    interrupts,
    overtaken: interrupts.length > 0 ? without(state.overtaken) : [],
    stamps: without(state.stamps),
  };
}

function foldEvent(state: LoopState, draft: Exclude<Draft, { processed: string }>, nowMs: number): LoopState {
  const { event } = draft;
  if (isQueuedType(event.type) || event.type.startsWith('user.'))
    return foldClient(state, event as EventBody, draft.extra);
  if (event.type.startsWith('x.')) return foldHidden(state, event as HiddenBody);
  return foldServer(state, event as EventBody, draft.extra, nowMs);
}

function foldClient(state: LoopState, event: EventBody, extra: Extra | undefined): LoopState {
  switch (event.type) {
    case 'user.message':
      return { ...state, queue: [...state.queue, event.id] };
    case 'system.message':
      return extra?.withResult
        ? { ...state, stamps: [...state.stamps, event.id] }
        : { ...state, queue: [...state.queue, event.id] };
    case 'user.interrupt':
      return { ...state, interrupts: [...state.interrupts, event.id], overtaken: state.queue };
    case 'user.custom_tool_result':
      return { ...state, answered: [...state.answered, event.custom_tool_use_id] };
    case 'user.tool_confirmation': {
      const known = state.confirmations[event.tool_use_id];
      const confirmation = known ?? { result: event.result, message: event.deny_message ?? null };
      return {
        ...state,
        stamps: [...state.stamps, event.id],
        confirmations: { ...state.confirmations, [event.tool_use_id]: confirmation },
      };
    }
    default:
      return state;
  }
}

function provisioned(state: LoopState): LoopState {
  return { ...state, handTried: true, provisionings: state.provisionings + 1 };
}

function foldHidden(state: LoopState, event: HiddenBody): LoopState {
  switch (event.type) {
    case 'x.session_created':
      return {
        ...state,
        agentName: event.agent_name,
        model: event.model,
        threadId: event.thread_id,
        policy: completePolicy(event.policy),
        mcpServers: event.mcp_servers,
        budget: event.budget ?? null,
      };
    case 'x.compaction_requested': {
      const { id, keep_answers: keepAnswers } = event;
      const request = keepAnswers === undefined ? { id } : { id, keepAnswers };
      return { ...state, compactRequests: [...state.compactRequests, request] };
    }
    // Its hand is the other session's.
    case 'x.session_forked':
      return { ...state, hand: null, handFailure: null };
    case 'x.hand_provisioned':
      return { ...provisioned(state), hand: event.hand, handFailure: null };
    case 'x.hand_failed':
      return { ...provisioned(state), hand: null, handFailure: event.reason };
    case 'x.hand_snapshot':
      return state;
    case 'x.hand_lost':
      return state.hand?.id === event.hand_id ? { ...state, hand: null } : state;
  }
}

// oxlint-disable-next-line complexity -- one flat switch over the server's event types reads better than a maze
function foldServer(state: LoopState, event: EventBody, extra: Extra | undefined, nowMs: number): LoopState {
  switch (event.type) {
    case 'session.status_running':
      return { ...state, status: 'running', waitingOn: [], runningSinceMs: state.runningSinceMs ?? nowMs };
    case 'session.status_rescheduled':
      return { ...rest(state, nowMs), status: 'rescheduling' };
    case 'session.status_idle': {
      const { stop_reason: reason } = event;
      const waitingOn = reason.type === 'requires_action' ? reason.event_ids : [];
      const resting: Phase = reason.type === 'budget_reached' ? { at: 'capped' } : { at: 'rest' };
      const phase: Phase = waitingOn.length > 0 ? { at: 'calls' } : resting;
      const calls = waitingOn.length > 0 ? state.calls : [];
      return { ...rest(state, nowMs), status: 'idle', phase, waitingOn, calls, failures: 0 };
    }
    case 'session.status_terminated':
      return { ...rest(state, nowMs), status: 'terminated' };
    case 'session.usage': {
      // What has been told stands: readers fold by the carriers' times, which are not the interpreter's.
      const told = Math.round(event.usage.active_seconds * 1000);
      return { ...state, runningSinceMs: null, totals: { ...state.totals, activeMs: told } };
    }
    case 'session.updated':
      return {
        ...state,
        mcpServers: extra?.mcpServers ?? state.mcpServers,
        budget: event.budget === undefined ? state.budget : event.budget,
      };
    case 'session.error':
      if (event.error.retry_status.type !== 'retrying' || state.phase.at !== 'failed') return state;
      return {
        ...state,
        failures: state.failures + 1,
        phase: {
          at: 'backoff',
          over: false,
          ms: pauseMs(state.failures, state.phase.failure, state.policy.modelRetryBaseMs),
        },
      };
    case 'span.model_request_start':
      return {
        ...state,
        phase: { at: 'thinking', spanId: event.id, compacting: extra?.compact !== undefined },
        compactRequests: state.compactRequests.filter(({ id }) => !extra?.compact?.requests.includes(id)),
        calls: [],
        answered: [],
        confirmations: {},
      };
    case 'span.model_request_end': {
      const { model, policy } = state;
      const billing = { model, prices: policy.prices, charges: extra?.charges };
      const totals = addUsage(state.totals, event.model_usage, billing);
      return afterModel({ ...state, totals }, event.model_usage, extra?.outcome);
    }
    case 'agent.tool_use':
      return addCall(state, {
        id: event.id,
        name: event.name,
        runner: extra?.runner ?? 'hand',
        permission: event.evaluated_permission,
        judged: event.evaluation?.type === 'auto',
        done: false,
        summary: extra?.summary ?? event.name,
      });
    case 'agent.custom_tool_use':
      return addCall(state, {
        id: event.id,
        name: event.name,
        runner: 'client',
        permission: 'allow',
        judged: false,
        done: false,
        summary: extra?.summary ?? event.name,
      });
    case 'agent.tool_result':
      return {
        ...state,
        handFailure: null,
        calls: state.calls.map((call) => (call.id === event.tool_use_id ? { ...call, done: true } : call)),
      };
    default:
      return state;
  }
}

function rest(state: LoopState, nowMs: number): LoopState {
  return { ...state, runningSinceMs: null, totals: { ...state.totals, activeMs: activeMs(state, nowMs) } };
}

function addCall(state: LoopState, call: Call): LoopState {
  return { ...state, calls: [...state.calls, call] };
}

function afterModel(state: LoopState, usage: SpanUsage, outcome: ModelOutcome | undefined): LoopState {
  const stop = outcome?.stop ?? 'end_turn';
  if (stop === 'failed') {
    const failure = outcome?.failure ?? {
      kind: 'unknown_error',
      message: 'The model request failed.',
      retryable: true,
    };
    return failure.tooLong && state.policy.context.compactAtTokens > 0
      ? afterTooLong(state, failure)
      : { ...state, phase: { at: 'failed', failure } };
  }
  if (stop === 'unaffordable') return { ...state, phase: { at: 'again' } };
  const healthy = { ...state, failures: 0 };
  if (stop === 'compacted')
    return {
      ...healthy,
      phase: { at: 'again' },
      contextTokens: 0,
      mustCompact: false,
      trim: state.trim + 1,
    };
  // An interrupted request says nothing of the window.
  const answered =
    stop === 'interrupted'
      ? healthy
      : { ...healthy, contextTokens: promptTokens(usage) + usage.output_tokens, mustCompact: false, trim: 0 };
  if (state.calls.length > 0) return { ...answered, phase: { at: 'calls' } };
  if (stop === 'pause_turn') return { ...answered, phase: { at: 'again' } };
  const reason: StopReason = stop === 'refusal' ? { type: 'refusal' } : { type: 'end_turn' };
  return { ...answered, phase: { at: 'ended', reason, details: outcome?.details ?? null } };
}

/** The prompt did not fit: a compaction follows, a harder one where one has been made already. */
function afterTooLong(state: LoopState, { message }: ModelFailure): LoopState {
  const isOver = state.trim > HARDEST_TRIM;
  const failure = { kind: 'compaction_limit_reached_error', message, retryable: false } as const;
  if (isOver) return { ...state, phase: { at: 'failed', failure }, trim: 0, mustCompact: false };
  const compacting = state.phase.at === 'thinking' && state.phase.compacting;
  return {
    ...state,
    phase: { at: 'again' },
    mustCompact: true,
    trim: compacting ? state.trim + 1 : state.trim,
  };
}
