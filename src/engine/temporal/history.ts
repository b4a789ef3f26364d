/** Which history events carry session events, and what they hold. Walks known types by name, ignores the rest. */
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import type { temporal } from '@temporalio/proto';
import { NOTHING_WRITTEN, type Author, type Draft, type Tally } from '../../log.ts';
import type { WrittenCarrier } from '../../session/archive.ts';
import { EMIT_SIGNAL, LOG_MEMO, type SessionInput } from '../../../workflows/messages.ts';

/** A Temporal history event. */
export type HistoryEvent = temporal.api.history.v1.IHistoryEvent;

/** Reads the drafts that a history event carries; none for most. */
export function carried(event: HistoryEvent): WrittenCarrier | undefined {
  const found = payloadOf(event);
  if (!found) return undefined;
  const content = decode(found.payload);
  if (!content || content.drafts.length === 0) return undefined;
  return { drafts: content.drafts, author: found.author, timeUs: timeOf(event) };
}

/** The log that a run begins with; undefined for any other event than a run's first one. */
export function begins(event: HistoryEvent): Tally | undefined {
  const started = event.workflowExecutionStartedEventAttributes;
  const payload = started?.input?.payloads?.[0];
  if (!payload) return undefined;
  const input = defaultPayloadConverter.fromPayload<SessionInput | undefined>(payload);
  return input?.origin?.tally ?? NOTHING_WRITTEN;
}

/** The number of a history event, from 1. */
export function eventNumber(event: HistoryEvent): number {
  return Number(event.eventId ?? 0);
}

/** Whether a run ended with this event, and which run follows. */
export function closing(event: HistoryEvent): { nextRunId: string | undefined } | undefined {
  const next = event.workflowExecutionContinuedAsNewEventAttributes;
  if (next) return { nextRunId: next.newExecutionRunId ?? undefined };
  const closed =
    event.workflowExecutionCompletedEventAttributes ??
    event.workflowExecutionFailedEventAttributes ??
    event.workflowExecutionTerminatedEventAttributes ??
    event.workflowExecutionTimedOutEventAttributes ??
    event.workflowExecutionCanceledEventAttributes;
  return closed ? { nextRunId: undefined } : undefined;
}

function payloadOf(event: HistoryEvent): { payload: Payload | null | undefined; author: Author } | undefined {
  const signal = event.workflowExecutionSignaledEventAttributes;
  if (signal)
    return signal.signalName === EMIT_SIGNAL
      ? { payload: signal.input?.payloads?.[0], author: 'client' }
      : undefined;
  const memo = event.workflowPropertiesModifiedEventAttributes?.upsertedMemo?.fields?.[LOG_MEMO];
  if (memo) return { payload: memo, author: 'server' };
  const payloads =
    event.workflowExecutionStartedEventAttributes?.input ??
    event.activityTaskScheduledEventAttributes?.input ??
    event.activityTaskCompletedEventAttributes?.result;
  return payloads ? { payload: payloads.payloads?.[0], author: 'server' } : undefined;
}

function decode(payload: Payload | null | undefined): { drafts: readonly Draft[] } | undefined {
  if (!payload) return undefined;
  const value = defaultPayloadConverter.fromPayload<{ drafts?: readonly Draft[] } | undefined>(payload);
  return value?.drafts ? { drafts: value.drafts } : undefined;
}

function timeOf(event: HistoryEvent): number {
  return Number(event.eventTime?.seconds ?? 0) * 1_000_000 + Math.floor((event.eventTime?.nanos ?? 0) / 1000);
}
