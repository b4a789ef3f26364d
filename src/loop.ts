/**
 * The loop: what happens next in a session, as a pure function of what the loop remembers. The only state machine
 * of the project, interpreted by `workflows/session.ts` (and by any other engine).
 *
 * A step says: write these events, then start these operations, or tell what runs to stop. `undefined` means:
 * wait. The interpreter carries a step out, folds what comes back and asks again.
 */
import { NO_USAGE, type Body, type CompactOrder, type Draft, type Extra, type ModelFailure } from './log.ts';
import { isBusy, type Call, type LoopState } from './loop/state.ts';
import { leftMicrocents, usageOf } from './loop/usage.ts';
import type { EventBody, SessionError, StopDetails, StopReason } from './wire/event.ts';

/** An operation to start. Its result comes back as drafts. */
export type Operation =
  /** `leftMicrocents`: what the budget leaves for it, in all its attempts; null: there is no budget. */
  | { readonly kind: 'model'; readonly summary: string; readonly leftMicrocents: number | null }
  | { readonly kind: 'provision' }
  | {
      readonly kind: 'tool';
      readonly callId: string;
      readonly summary: string;
      readonly runner: 'hand' | 'log';
    }
  | { readonly kind: 'timer'; readonly ms: number };

type Unwritten<T> = T extends { id: string } ? Omit<T, 'id'> : never;

/** An event that the loop wants written: it gets its id, and `session.usage` its numbers, from the interpreter. */
export type Authored =
  | { readonly write: Unwritten<Body>; readonly extra?: Extra }
  | { readonly processed: string }
  | { readonly usage: true };

/** What to do next. */
export interface Step {
  readonly write: readonly Authored[];
  readonly start: readonly Operation[];
  /** Tell everything under way to stop. */
  readonly cancel?: true;
  /** The session is over. */
  readonly finish?: true;
}

/** What the interpreter lends to give events their ids and times. */
export interface Pen {
  newId(): string;
  nowMs(): number;
}

/** The text that closes an interrupted call (wire-api 13.4). */
export const INTERRUPTED = 'Tool execution was interrupted before completion. Please retry.';

/** Decides the next step; `undefined`: nothing to do until something arrives. */
export function decide(state: LoopState): Step | undefined {
  if (state.status === 'terminated') {
    return isBusy(state) ? cancelOnce(state) : { write: [], start: [], finish: true };
  }
  if (state.interrupts.length > 0) return isBusy(state) ? cancelOnce(state) : interrupt(state);
  if (state.inFlight.model || state.inFlight.timer) return undefined;
  if (state.policy.provision === 'eager' && !state.handTried)
    return { write: [], start: [{ kind: 'provision' }] };
  return advance(state);
}

/**
 * Whether the session may go on in other hands from here: nothing is under way, and it is at rest, or a turn has ended
 * and the next one is due.
 */
export function isBetweenTurns(state: LoopState): boolean {
  if (isBusy(state) || state.status === 'terminated') return false;
  const { phase, queue, interrupts } = state;
  return decide(state) === undefined || (phase.at === 'ended' && queue.length > 0 && interrupts.length === 0);
}

/**
 * Whether an interrupt ends a turn that has not begun: a session at rest is shown as running from its first message on, and
 * what a client has seen running it can stop, however long nobody comes to take the message up.
 */
export function endsUnbegunTurn({ phase, interrupts, overtaken }: LoopState): boolean {
  return phase.at === 'rest' && interrupts.length > 0 && overtaken.length > 0;
}

/** The calls that a hand runs, or is to run next: nothing that the log says tells the two apart. */
export function callsInHand(state: LoopState): readonly Call[] {
  if (state.hand === null || state.phase.at !== 'calls') return [];
  return state.calls.filter(
    (call) => call.runner === 'hand' && isOpen(state, call) && isRunnable(state, call),
  );
}

/** Goes on with the turn, where nothing stands in its way. */
function advance(state: LoopState): Step | undefined {
  const { phase } = state;
  switch (phase.at) {
    case 'thinking':
      return { write: [], start: [modelRequest(state, phase.compacting)] };
    case 'calls':
      return advanceCalls(state);
    case 'again':
      return think(state, []);
    case 'failed':
      return afterFailure(state, phase.failure);
    case 'backoff':
      return phase.over
        ? think(state, running(state))
        : { write: [], start: [{ kind: 'timer', ms: phase.ms }] };
    case 'ended':
      return state.queue.length > 0
        ? think(state, takeUp(state.queue))
        : { write: [...takeUp(state.stamps), ...idle(state, phase.reason, phase.details)], start: [] };
    case 'rest':
      return state.queue.length > 0 ? beginTurn(state) : stampLate(state);
    case 'capped':
      return isSpent(state) ? stampLate(state) : think(state, [...running(state), ...takeUp(state.queue)]);
  }
}

/** Turns what the loop wants written into drafts. `pen` must be deterministic where the engine replays. */
export function author(state: LoopState, authored: readonly Authored[], pen: Pen): Draft[] {
  return authored.map((item): Draft => {
    if ('processed' in item) return item;
    if ('usage' in item) return { event: usageEvent(state, pen) };
    const event: Body = { id: pen.newId(), ...item.write };
    return item.extra ? { event, extra: item.extra } : { event };
  });
}

function cancelOnce(state: LoopState): Step | undefined {
  return state.inFlight.cancelled ? undefined : { write: [], start: [], cancel: true };
}

function beginTurn(state: LoopState): Step | undefined {
  if (state.inFlight.provision) return undefined;
  return think(state, [...running(state), ...takeUp(state.queue), ...state.mcpServers.map(mcpUnavailable)]);
}

function interrupt(state: LoopState): Step {
  const begun = endsUnbegunTurn(state) ? state.overtaken : [];
  const next = state.queue.filter((id) => !begun.includes(id));
  const closing = [
    ...(begun.length > 0 ? [...running(state), ...takeUp(begun)] : []),
    ...(state.phase.at === 'thinking' ? [spanEnd(state.phase.spanId)] : []),
    ...takeUp([...state.interrupts, ...state.stamps]),
    ...state.calls.filter((call) => isOpen(state, call)).map((call) => toolError(call.id, INTERRUPTED)),
  ];
  // At the cap an interrupt has no effect: what is due stays due (wire-api 27.3).
  if (state.phase.at === 'capped' && isSpent(state))
    return { write: [...closing, ...idle(state, { type: 'budget_reached' }, null)], start: [] };
  if (next.length === 0)
    return { write: [...closing, ...idle(state, { type: 'end_turn' }, null)], start: [] };
  const resume = state.status === 'running' || begun.length > 0 ? [] : running(state);
  return think({ ...state, stamps: [] }, [...closing, ...resume, ...takeUp(next)]);
}

function advanceCalls(state: LoopState): Step | undefined {
  const open = state.calls.filter((call) => isOpen(state, call));
  const resume = [...(state.status === 'running' ? [] : running(state)), ...takeUp(state.stamps)];

  const refused = open.flatMap((call) => refusal(state, call));
  if (refused.length > 0) return { write: [...resume, ...refused], start: [] };

  const runnable = open.filter((call) => isRunnable(state, call) && !state.inFlight.tools.includes(call.id));
  const readers = runnable.filter(({ runner }) => runner === 'log').map(toolCall);
  const handCalls = runnable.filter(({ runner }) => runner === 'hand').map(toolCall);
  if (handCalls.length > 0 && !state.inFlight.provision) {
    const start: Operation[] = state.hand ? handCalls : [{ kind: 'provision' }];
    return { write: resume, start: [...readers, ...start] };
  }
  if (readers.length > 0) return { write: resume, start: readers };
  if (isBusy(state)) return undefined;
  if (open.length === 0) {
    const steered = state.policy.steering === 'round' ? takeUp(state.queue) : [];
    return think({ ...state, stamps: [] }, [...resume, ...steered]);
  }

  const ids = open.map((call) => call.id);
  if (state.status === 'idle' && sameIds(ids, state.waitingOn)) return stampLate(state);
  return {
    write: [...takeUp(state.stamps), ...idle(state, { type: 'requires_action', event_ids: ids }, null)],
    start: [],
  };
}

/** While the session waits: a confirmation that changes nothing any more is taken up, or it would stay queued. */
function stampLate({ stamps }: LoopState): Step | undefined {
  return stamps.length > 0 ? { write: takeUp(stamps), start: [] } : undefined;
}

function refusal(state: LoopState, call: Call): Authored[] {
  const confirmation = state.confirmations[call.id];
  if (call.permission === 'ask' && confirmation?.result === 'deny') {
    const because = confirmation.message ? `: ${confirmation.message}` : '.';
    return [toolError(call.id, `The user denied permission to run this tool${because}`)];
  }
  if (call.permission === 'deny') return [toolError(call.id, denial(call))];
  if (state.handFailure !== null && call.runner === 'hand' && isRunnable(state, call)) {
    return [toolError(call.id, `The sandbox could not be provisioned: ${state.handFailure}`)];
  }
  return [];
}

function denial({ name, judged }: Call): string {
  return judged
    ? `This call was judged too risky, so it was not run. Find a safer way, or ask the user.`
    : `The tool "${name}" is not enabled in this session.`;
}

function afterFailure(state: LoopState, failure: ModelFailure): Step {
  const retry = failure.retryable && state.failures + 1 < state.policy.modelAttempts;
  const error: SessionError = {
    type: failure.kind,
    message: failure.message,
    retry_status: { type: retry ? 'retrying' : 'exhausted' },
  };
  if (retry) {
    return {
      write: [write({ type: 'session.error', error }), ...status(state, 'rescheduled')],
      start: [],
    };
  }
  const flushed = takeUp([...state.queue, ...state.stamps]);
  return {
    write: [
      write({ type: 'session.error', error }),
      ...flushed,
      ...idle(state, { type: 'retries_exhausted' }, null),
    ],
    start: [],
  };
}

/** Asks the model, or has the conversation summed up before, or stops where the budget is spent. */
function think(state: LoopState, first: readonly Authored[]): Step {
  const taken = [...first, ...takeUp(state.stamps)];
  if (isSpent(state))
    return { write: [...taken, ...idle(state, { type: 'budget_reached' }, null)], start: [] };
  const compact = compaction(state);
  const start = { write: { type: 'span.model_request_start' } } as const;
  return {
    write: [...taken, compact ? { ...start, extra: { compact } } : start],
    start: [modelRequest(state, compact !== undefined)],
  };
}

function modelRequest(state: LoopState, compacting: boolean): Operation {
  const summary = compacting ? `${state.model}: sum up` : state.model;
  return { kind: 'model', summary, leftMicrocents: leftMicrocents(state) };
}

function isSpent(state: LoopState): boolean {
  return leftMicrocents(state) === 0;
}

/** The compaction that the next request has to be, if any. */
function compaction(state: LoopState): CompactOrder | undefined {
  const { compactAtTokens, keepAnswers } = state.policy.context;
  const wish = state.compactRequests.at(-1);
  const isFull = compactAtTokens > 0 && state.contextTokens >= compactAtTokens;
  if (!state.mustCompact && !isFull && !wish) return undefined;
  return {
    trim: state.trim,
    keepAnswers: state.trim > 0 ? 0 : (wish?.keepAnswers ?? keepAnswers),
    requests: state.compactRequests.map(({ id }) => id),
  };
}

function toolCall({ id, summary, runner }: Call): Operation {
  return { kind: 'tool', callId: id, summary, runner: runner === 'log' ? 'log' : 'hand' };
}

function isOpen(state: LoopState, call: Call): boolean {
  return !call.done && !(call.runner === 'client' && state.answered.includes(call.id));
}

function isRunnable(state: LoopState, call: Call): boolean {
  if (call.runner === 'client') return false;
  return (
    call.permission === 'allow' ||
    (call.permission === 'ask' && state.confirmations[call.id]?.result === 'allow')
  );
}

function sameIds(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((id) => right.includes(id));
}

function write(body: Unwritten<EventBody>): Authored {
  return { write: body };
}

function takeUp(ids: readonly string[]): Authored[] {
  return ids.map((processed) => ({ processed }));
}

function toolError(callId: string, text: string): Authored {
  return write({
    type: 'agent.tool_result',
    tool_use_id: callId,
    content: [{ type: 'text', text }],
    is_error: true,
  });
}

function spanEnd(spanId: string): Authored {
  const end = { model_request_start_id: spanId, is_error: false, model_usage: NO_USAGE } as const;
  return { write: { type: 'span.model_request_end', ...end }, extra: { outcome: { stop: 'interrupted' } } };
}

function status(state: LoopState, name: 'running' | 'rescheduled'): Authored[] {
  const thread = { agent_name: state.agentName, session_thread_id: state.threadId };
  return [
    write({ type: `session.status_${name}` }),
    write({ type: `session.thread_status_${name}`, ...thread }),
  ];
}

function running(state: LoopState): Authored[] {
  return status(state, 'running');
}

function idle(state: LoopState, reason: StopReason, details: StopDetails | null): Authored[] {
  const stop = { stop_reason: reason, stop_details: details };
  const thread = { agent_name: state.agentName, session_thread_id: state.threadId };
  return [
    write({ type: 'session.thread_status_idle', ...thread, ...stop }),
    { usage: true },
    write({ type: 'session.status_idle', ...stop }),
  ];
}

function mcpUnavailable(name: string): Authored {
  return write({
    type: 'session.error',
    error: {
      type: 'mcp_connection_failed_error',
      mcp_server_name: name,
      message: `MCP server "${name}": this server cannot connect to MCP servers yet; the turn goes on without its tools.`,
      retry_status: { type: 'retrying' },
    },
  });
}

function usageEvent(state: LoopState, pen: Pen): Body {
  return {
    id: pen.newId(),
    type: 'session.usage',
    budget: state.budget,
    usage: usageOf(state, pen.nowMs()),
  };
}
