/** Whether a session rests, seen from its stream and from what was sent. Pure. */
import type { EventBody } from '../../src/wire/event.ts';
import type { Placed } from './watch.ts';

type Idle = Extract<EventBody, { type: 'session.status_idle' }>;

/** A call that is the client's to answer. */
export interface OpenCall {
  readonly id: string;
  readonly kind: 'ask' | 'custom';
}

/** What the client knows of what it sent. */
export interface Sending {
  /** Ids of events that must be taken up before the session can rest. */
  readonly queued: ReadonlySet<string>;
  /** Ids of calls that have been answered. */
  readonly answered: ReadonlySet<string>;
  /** How much of the stream was there when something was done after which the session cannot have rested yet. */
  readonly from: number;
}

/** The idle with which the session rests; undefined: it does not. */
export function restOf(events: readonly Placed[], { queued, answered, from }: Sending): Idle | undefined {
  const at = events.findLastIndex(({ event }) => event.type.startsWith('session.status_'));
  const idle = events[at]?.event;
  if (idle?.type !== 'session.status_idle' || at < from) return undefined;
  const { stop_reason: stop } = idle;
  // What came before stays queued while it waits for calls or at the cap. What answers a call is followed by another
  // idle, which no longer names it.
  const isOver =
    stop.type === 'requires_action'
      ? !stop.event_ids.some((id) => answered.has(id))
      : stop.type === 'budget_reached' || allTaken(events, queued);
  return isOver ? idle : undefined;
}

/** The client's calls of the last answer that made any. */
export function openCalls(events: readonly Placed[]): OpenCall[] {
  const isCall = ({ event }: Placed): boolean =>
    event.type === 'agent.custom_tool_use' ||
    (event.type === 'agent.tool_use' && event.evaluated_permission === 'ask');
  const end = events.findLastIndex(isCall);
  const start = events
    .slice(0, end + 1)
    .findLastIndex(({ event }) => event.type === 'span.model_request_start');
  return events
    .slice(Math.max(0, start), end + 1)
    .filter(isCall)
    .map(({ event }) => ({ id: event.id, kind: event.type === 'agent.tool_use' ? 'ask' : 'custom' }));
}

function allTaken(events: readonly Placed[], queued: ReadonlySet<string>): boolean {
  if (queued.size === 0) return true;
  const taken = new Set(
    events.flatMap(({ event }) => (event.processed_at !== null && queued.has(event.id) ? [event.id] : [])),
  );
  return taken.size === queued.size;
}
