/** The beginning and the end of a session's life on Temporal, when it moves. */
import { WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { RunLimits } from '../../loop/run-limits.ts';
import type { WrittenCarrier } from '../../session/archive.ts';
import type { Lives } from '../../session/moves.ts';
import { SessionGoneError } from '../../session.ts';
import type { Homes } from '../../session/home.ts';
import { LEAVE_SIGNAL, SESSION_WORKFLOW, workflowIdOf } from '../../../workflows/messages.ts';
import { createHistoryChain, type HistoryPages } from './history-chain.ts';
import { erase, historyPages } from './history-source.ts';
import { readRun, sealRuns } from './sealing.ts';
import { startOptions } from './start-options.ts';

/** What they are made of. */
export interface LivesDeps {
  readonly client: Client;
  readonly taskQueue: string;
  readonly limits: RunLimits;
  /** Left out: there is no archive. */
  readonly homes: Homes | undefined;
}

/** Makes them on a Temporal client. */
export function createLives({ client, taskQueue, limits, homes }: LivesDeps): Lives {
  const pagesOf = (sessionId: string, life: number): HistoryPages =>
    historyPages(client, workflowIdOf(sessionId, life));

  return {
    async begin(sessionId, { life }, { seed, state, tally }) {
      const origin = { sessionId, life, tally, state };
      const input = { v: 1, drafts: [], origin, limits } as const;
      try {
        await client.workflow.start(
          SESSION_WORKFLOW,
          startOptions(workflowIdOf(sessionId, life), { seed, taskQueue, input }),
        );
      } catch (error) {
        // Somebody was quicker, and it has ended since.
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      }
    },
    async read(sessionId, life, runId) {
      try {
        return await readRun(pagesOf(sessionId, life), runId);
      } catch (error) {
        if (error instanceof SessionGoneError) return undefined;
        throw error;
      }
    },
    seal: async (sessionId, life) => (homes ? await sealRuns({ homes, pagesOf }, sessionId, life) : true),
    async end(sessionId, { life, nextRunId, isSealed }, signal) {
      if (isSealed) return [];
      const id = workflowIdOf(sessionId, life);
      await client.workflow
        .getHandle(id)
        .signal(LEAVE_SIGNAL)
        .catch((error: unknown) => {
          // One that has ended has left. Whether it was ever there, its history tells.
          if (!(error instanceof WorkflowNotFoundError)) throw error;
        });
      const chain = createHistoryChain(pagesOf(sessionId, life), nextRunId);
      const carriers: WrittenCarrier[] = [];
      while (!chain.closed) carriers.push(...(await chain.next(signal)).carriers);
      return carriers;
    },
    undo: (sessionId, { life }) => erase(client, workflowIdOf(sessionId, life)),
  };
}
