/** Sessions as Temporal shows them, read past the server under test. */
import { Client, type WorkflowExecutionDescription } from '@temporalio/client';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import type { HistoryEvent } from '../../../src/engine/temporal/history.ts';
import { connectTemporal } from '../../../src/temporal-server/connection.ts';
import { server } from '../client.ts';

/** Connects to the Temporal server of the run. The caller closes the connection. */
export async function connectToTemporal(): Promise<Client> {
  const { temporalAddress } = server();
  if (temporalAddress === undefined) throw new Error('this server has no Temporal');
  return new Client({ connection: await connectTemporal(temporalAddress), namespace: 'drover' });
}

/** Reads histories. */
export interface Histories {
  events(sessionId: string): Promise<readonly HistoryEvent[]>;
  describe(sessionId: string): Promise<WorkflowExecutionDescription>;
  close(): Promise<void>;
}

/** Connects to the Temporal server of the run. */
export async function openHistories(): Promise<Histories> {
  const { workflow, connection } = await connectToTemporal();
  return {
    events: async (id) => (await workflow.getHandle(id).fetchHistory()).events ?? [],
    describe: (id) => workflow.getHandle(id).describe(),
    close: () => connection.close(),
  };
}

/** The text of a payload that holds one. */
export function textIn(payload: Payload | null | undefined): string {
  return payload ? String(defaultPayloadConverter.fromPayload(payload)) : '';
}
