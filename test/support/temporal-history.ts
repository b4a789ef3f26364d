/** What a session costs in Temporal: its history, read past the server under test. */
import { Client, type WorkflowExecutionDescription } from '@temporalio/client';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { carried, type HistoryEvent } from '../../src/engine/temporal/history.ts';
import { eventually } from './process.ts';
import { connectToTemporal, NAMESPACE } from './turns.ts';

/** Reads histories. */
export interface Histories {
  events(sessionId: string): Promise<readonly HistoryEvent[]>;
  describe(sessionId: string): Promise<WorkflowExecutionDescription>;
  /** How many events the history has and how many bytes they take, as Temporal counts both. */
  size(sessionId: string): Promise<{ events: number; bytes: number }>;
  /** Waits until the session has come to rest for the `nth` time. */
  untilIdle(sessionId: string, nth: number): Promise<void>;
  close(): Promise<void>;
}

/** Connects to the Temporal server of the run. */
export async function openHistories(): Promise<Histories> {
  const connection = await connectToTemporal();
  const client = new Client({ connection, namespace: NAMESPACE });
  const events: Histories['events'] = async (id) =>
    (await client.workflow.getHandle(id).fetchHistory()).events ?? [];
  const describe: Histories['describe'] = (id) => client.workflow.getHandle(id).describe();
  return {
    events,
    describe,
    async size(id) {
      const { historyLength, historySize = 0 } = await describe(id);
      return { events: historyLength, bytes: historySize };
    },
    async untilIdle(id, nth) {
      await eventually(`idle number ${nth}`, async () => idles(await events(id)) >= nth || undefined, 30_000);
    },
    close: () => connection.close(),
  };
}

/** The bytes of the largest payload, wherever in the history it stands. */
export function largestPayload(events: readonly HistoryEvent[]): number {
  return Math.max(0, ...payloadSizes(events));
}

/** The text of a payload that holds one. */
export function textIn(payload: Payload | null | undefined): string {
  return payload ? String(defaultPayloadConverter.fromPayload(payload)) : '';
}

function idles(events: readonly HistoryEvent[]): number {
  const drafts = events.flatMap((event) => carried(event)?.drafts ?? []);
  return drafts.filter((draft) => 'event' in draft && draft.event.type === 'session.status_idle').length;
}

function payloadSizes(value: unknown): number[] {
  if (typeof value !== 'object' || value === null) return [];
  if (value instanceof Uint8Array) return [value.byteLength];
  return Object.values(value).flatMap(payloadSizes);
}
