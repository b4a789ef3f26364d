/** Puts runs into the archive that no further run follows, which would do it: of sessions that are over or were stopped. */
import type { Client } from '@temporalio/client';
import type { Logger } from '../../log-line.ts';
import { startRepeating } from '../../repeat.ts';
import { partsOf, SESSION_WORKFLOW } from '../../../workflows/messages.ts';

/** What it takes. */
export interface SealSweepDeps {
  readonly client: Client;
  readonly seal: (sessionId: string, life: number) => Promise<unknown>;
  readonly log: Logger;
}

const EVERY_MS = 60_000;
/** Closed workflows are found a little after they have closed. */
const OVERLAP_MS = 300_000;

/** Sweeps at once and then again and again, until stopped. */
export function startSealSweep({ client, seal, log }: SealSweepDeps): { stop(): void } {
  let sinceMs = 0;

  async function sweep(): Promise<void> {
    const begunMs = Date.now();
    const since = new Date(sinceMs).toISOString();
    const query = `WorkflowType = '${SESSION_WORKFLOW}' AND ExecutionStatus != 'Running' AND ExecutionStatus != 'ContinuedAsNew' AND CloseTime > '${since}'`;
    for await (const { workflowId } of client.workflow.list({ query })) {
      const { sessionId, life } = partsOf(workflowId);
      await seal(sessionId, life).catch((error: unknown) =>
        log.warn('a session could not be put into the archive; it will be tried again', {
          session: sessionId,
          error: String(error),
        }),
      );
    }
    sinceMs = begunMs - OVERLAP_MS;
  }

  return startRepeating(sweep, EVERY_MS, (error) =>
    log.warn('sessions that are over could not be looked for; it will be tried again', {
      error: String(error),
    }),
  );
}
