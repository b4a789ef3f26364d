/** The probe of the Temporal engine: histories. */
import { Client, WorkflowNotFoundError } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { connectTemporal } from '../../../src/temporal-server/connection.ts';
import { WAKE_SIGNAL } from '../../../workflows/messages.ts';
import type { Probe } from '../probe.ts';
import { eventually } from '../process.ts';
import type { SessionsPlace } from '../sessions.ts';

/** Opens it. */
export async function openTemporalProbe({ temporalAddress }: SessionsPlace): Promise<Probe> {
  if (temporalAddress === undefined) throw new Error('this server has no Temporal');
  const connection = await connectTemporal(temporalAddress);
  const { workflow } = new Client({ connection, namespace: 'drover' });
  const { HistoryEvent } = temporal.api.history.v1;
  const historyOf = async (id: string) => (await workflow.getHandle(id).fetchHistory()).events ?? [];
  return {
    async writes(id) {
      return (await historyOf(id)).map((event) => ({
        bytes: Buffer.from(HistoryEvent.encode(event).finish()),
        isClients: Boolean(event.workflowExecutionSignaledEventAttributes),
      }));
    },
    async isGone(id) {
      try {
        await workflow.getHandle(id).describe();
        return false;
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return true;
        throw error;
      }
    },
    async looked(id) {
      await workflow.getHandle(id).signal(WAKE_SIGNAL);
      await eventually(
        'a worker to look at the session',
        async () => {
          const events = await historyOf(id);
          const woken = events.findLastIndex((event) => event.workflowExecutionSignaledEventAttributes);
          return events.slice(woken).some((event) => event.workflowTaskCompletedEventAttributes);
        },
        30_000,
      );
    },
    close: () => connection.close(),
  };
}
