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
/** Of the enum `temporal.api.enums.v1.WorkflowExecutionStatus`, which is only a type at run time. */
const RUNNING = 1;
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
        isOver: Number(workflowExecutionInfo?.status) !== RUNNING,
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

/**
 * Erases all runs of a workflow. A deletion is of one run, and in the background. The newest one goes last: it leads to
 * the others, should this be broken off.
 */
export async function erase(client: Client, id: string): Promise<void> {
  const { namespace } = client.options;
  const remove = async (runId: string): Promise<void> => {
    try {
      const workflowExecution = { workflowId: id, runId };
      await client.workflowService.deleteWorkflowExecution({ namespace, workflowExecution });
      await untilGone(client.workflow.getHandle(id, runId));
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError || isNotFound(error))) throw error;
    }
  };
  for (const runId of await runsBefore(client, id)) await remove(runId);
  try {
    for (;;) await remove((await client.workflow.getHandle(id).describe()).runId);
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError || isNotFound(error))) throw error;
  }
}

/** The runs before the newest one, oldest first, as far as they are still there. Reads one event of each. */
async function runsBefore(client: Client, id: string): Promise<string[]> {
  const { namespace } = client.options;
  const runs: string[] = [];
  for (let runId = ''; ;) {
    const page = await client.workflowService
      .getWorkflowExecutionHistory({ namespace, execution: { workflowId: id, runId }, maximumPageSize: 1 })
      .catch((error: unknown) => {
        if (isNotFound(error)) return undefined;
        throw error;
      });
    if (page && runId !== '') runs.unshift(runId);
    const first = page?.history?.events?.[0]?.workflowExecutionStartedEventAttributes;
    runId = first?.continuedExecutionRunId ?? '';
    if (runId === '') return runs;
  }
}

/** Waits for a deletion; asking for it again and again would only make the server busy. Rejects once the run is gone. */
async function untilGone(handle: WorkflowHandle): Promise<void> {
  for (let waited = 0; waited < ASK_AGAIN_MS; waited += LOOK_AGAIN_MS) {
    await sleep(LOOK_AGAIN_MS);
    await handle.describe();
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
