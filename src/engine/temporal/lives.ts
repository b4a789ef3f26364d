/** The beginning and the end of a session's life on Temporal, when it moves. */
import { WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { WrittenCarrier } from '../../session/archive.ts';
import type { Lives } from '../../session/moves.ts';
import { LEAVE_SIGNAL, SESSION_WORKFLOW, workflowIdOf } from '../../../workflows/messages.ts';
import { createHistoryChain } from './history-chain.ts';
import { erase, historyPages } from './history-source.ts';
import { startOptions } from './start-options.ts';

/** Makes them on a Temporal client. */
export function createLives({ client, taskQueue }: { client: Client; taskQueue: string }): Lives {
  return {
    async begin(sessionId, { life, base }, { seed, state }) {
      const origin = { sessionId, life, base, state };
      const input = { v: 1, drafts: [], origin } as const;
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
    async end(sessionId, { life }, signal) {
      const id = workflowIdOf(sessionId, life);
      await client.workflow
        .getHandle(id)
        .signal(LEAVE_SIGNAL)
        .catch((error: unknown) => {
          // One that has ended has left. Whether it was ever there, its history tells.
          if (!(error instanceof WorkflowNotFoundError)) throw error;
        });
      const chain = createHistoryChain(historyPages(client, id));
      const carriers: WrittenCarrier[] = [];
      while (!chain.closed) carriers.push(...(await chain.next(signal)));
      return carriers;
    },
    undo: (sessionId, { life }) => erase(client, workflowIdOf(sessionId, life)),
  };
}
