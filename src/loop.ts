/**
 * The loop: what happens next in a session, as a pure function of what the loop remembers. The only state machine
 * of the project, interpreted by `workflows/session.ts` (and by any other engine).
 *
 * A step says: write these events, then start these operations, or tell what runs to stop. `undefined` means:
 * wait. The interpreter carries a step out, folds what comes back and asks again.
 */
import { NO_USAGE, type Body, type Draft, type Extra, type ModelFailure } from './log.ts';
import { isBusy, usageOf, type Call, type LoopState } from './loop/state.ts';
import type { EventBody, SessionError, StopDetails, StopReason } from './wire/event.ts';

/** An operation to start. Its result comes back as drafts. */
export type Operation =
  | { readonly kind: 'model'; readonly summary: string }
  | { readonly kind: 'provision' }
  | { readonly kind: 'tool'; readonly callId: string; readonly summary: string }
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

  const { phase } = state;
  switch (phase.at) {
    case 'thinking':
      return { write: [], start: [{ kind: 'model', summary: state.model }] };
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
  const closing = [
    ...(state.phase.at === 'thinking' ? [spanEnd(state.phase.spanId)] : []),
    ...takeUp([...state.interrupts, ...state.stamps]),
    ...state.calls.filter((call) => isOpen(state, call)).map((call) => toolError(call.id, INTERRUPTED)),
  ];
  if (state.queue.length === 0)
    return { write: [...closing, ...idle(state, { type: 'end_turn' }, null)], start: [] };
  const resume = state.status === 'running' ? [] : running(state);
  return think({ ...state, stamps: [] }, [...closing, ...resume, ...takeUp(state.queue)]);
}

function advanceCalls(state: LoopState): Step | undefined {
  const open = state.calls.filter((call) => isOpen(state, call));
  const resume = [...(state.status === 'running' ? [] : running(state)), ...takeUp(state.stamps)];

  const refused = open.flatMap((call) => refusal(state, call));
  if (refused.length > 0) return { write: [...resume, ...refused], start: [] };

  const runnable = open.filter((call) => isRunnable(state, call));
  const idleTools = runnable.filter((call) => !state.inFlight.tools.includes(call.id));
  if (idleTools.length > 0) {
    if (state.inFlight.provision) return undefined;
    if (!state.hand) return { write: resume, start: [{ kind: 'provision' }] };
    return {
      write: resume,
      start: idleTools.map(({ id, summary }) => ({ kind: 'tool', callId: id, summary })),
    };
  }
  if (isBusy(state)) return undefined;
  if (open.length === 0) return think({ ...state, stamps: [] }, resume);

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
  if (call.permission === 'deny')
    return [toolError(call.id, `The tool "${call.name}" is not enabled in this session.`)];
  if (state.handFailure !== null && isRunnable(state, call)) {
    return [toolError(call.id, `The sandbox could not be provisioned: ${state.handFailure}`)];
  }
  return [];
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

function think(state: LoopState, first: readonly Authored[]): Step {
  return {
    write: [...first, ...takeUp(state.stamps), write({ type: 'span.model_request_start' })],
    start: [{ kind: 'model', summary: state.model }],
  };
}

function isOpen(state: LoopState, call: Call): boolean {
  return !call.done && !(call.runner === 'client' && state.answered.includes(call.id));
}

function isRunnable(state: LoopState, call: Call): boolean {
  if (call.runner !== 'hand') return false;
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
    budget: null,
    usage: usageOf(state, pen.nowMs()),
  };
}
