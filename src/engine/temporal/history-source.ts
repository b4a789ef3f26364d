/** The Temporal server's side of a session: its history as a source to read from, and its erasure. */
import {
  isGrpcServiceError,
  WorkflowNotFoundError,
  type Client,
  type WorkflowHandle,
} from '@temporalio/client';
import { status as GrpcStatus } from '@grpc/grpc-js';
import { setTimeout as sleep } from 'node:timers/promises';
import { SessionGoneError } from '../../session.ts';
import type { HistoryPages } from './history-chain.ts';

const LARGEST_PAGE = 256;
const LOOK_AGAIN_MS = 25;
/** A deletion that has not happened by then is asked for once more. */
const ASK_AGAIN_MS = 5000;

/** The history of one workflow. */
export function historyPages(client: Client, id: string): HistoryPages {
  const { namespace } = client.options;
  const service = client.workflowService;

  async function orGone<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (isNotFound(error)) throw new SessionGoneError(`no session ${id}`, { cause: error });
      throw error;
    }
  }

  return {
    async firstRunId() {
      const { workflowExecutionInfo } = await orGone(() =>
        service.describeWorkflowExecution({ namespace, execution: { workflowId: id } }),
      );
      return workflowExecutionInfo?.firstRunId || (workflowExecutionInfo?.execution?.runId ?? '');
    },
    async head() {
      const { workflowExecutionInfo } = await orGone(() =>
        service.describeWorkflowExecution({ namespace, execution: { workflowId: id } }),
      );
      return {
        runId: workflowExecutionInfo?.execution?.runId ?? '',
        eventNumber: Number(workflowExecutionInfo?.historyLength ?? 0),
      };
    },
    async page(runId, token, signal) {
      for (;;) {
        try {
          const answer = await orGone(() =>
            client.connection.withAbortSignal(signal, () =>
              service.getWorkflowExecutionHistory({
                namespace,
                execution: { workflowId: id, runId },
                maximumPageSize: LARGEST_PAGE,
                waitNewEvent: true,
                ...(token ? { nextPageToken: token } : {}),
              }),
            ),
          );
          const nextToken = answer.nextPageToken?.length ? answer.nextPageToken : undefined;
          return { events: answer.history?.events ?? [], nextToken };
        } catch (error) {
          if (signal.aborted || !isPassing(error)) throw error;
          await sleep(200);
        }
      }
    },
  };
}

/** Deleting a workflow id deletes one run, in the background, so it goes on until none is left. */
export async function erase(client: Client, id: string): Promise<void> {
  const { namespace } = client.options;
  try {
    for (;;) {
      await client.workflowService.deleteWorkflowExecution({
        namespace,
        workflowExecution: { workflowId: id },
      });
      await untilGone(client.workflow.getHandle(id));
    }
  } catch (error) {
    if (error instanceof WorkflowNotFoundError || isNotFound(error)) return;
    throw error;
  }
}

/** Waits for a deletion; asking for it again and again would only make the server busy. Rejects once nothing is left. */
async function untilGone(handle: WorkflowHandle): Promise<void> {
  const { runId } = await handle.describe();
  for (let waited = 0; waited < ASK_AGAIN_MS; waited += LOOK_AGAIN_MS) {
    await sleep(LOOK_AGAIN_MS);
    if ((await handle.describe()).runId !== runId) return;
  }
}

function isNotFound(error: unknown): boolean {
  return isGrpcServiceError(error) && error.code === GrpcStatus.NOT_FOUND;
}

/** The server restarts, or a long poll ran out: read on. */
function isPassing(error: unknown): boolean {
  const passing: readonly number[] = [
    GrpcStatus.UNAVAILABLE,
    GrpcStatus.DEADLINE_EXCEEDED,
    GrpcStatus.RESOURCE_EXHAUSTED,
  ];
  return isGrpcServiceError(error) && passing.includes(error.code);
}
