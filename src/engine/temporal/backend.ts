/**
 * Sessions on Temporal: one workflow a session, its history is the log. Reads go to the server and need no worker.
 */
import {
  isGrpcServiceError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  type Client,
  type WorkflowHandle,
} from '@temporalio/client';
import type { Blobs } from '../../blobs.ts';
import type { RunLimits } from '../../loop/run-limits.ts';
import { SessionBusyError } from '../../session.ts';
import { LogClosedError, type Backend } from '../../session/backend.ts';
import { BORN_ON_TEMPORAL, type Archive, type Home } from '../../session/home.ts';
import { unpack } from '../../session/pack.ts';
import { status as GrpcStatus } from '@grpc/grpc-js';
import {
  CLOSE_SIGNAL,
  EMIT_SIGNAL,
  SESSION_WORKFLOW,
  WAKE_SIGNAL,
  workflowIdOf,
  type EmitInput,
} from '../../../workflows/messages.ts';
import { createHistoryCursor } from './history-cursor.ts';
import { erase, historyPages } from './history-source.ts';
import { startOptions } from './start-options.ts';

/** What the implementation is made of. */
export interface TemporalBackendDeps {
  readonly client: Client;
  readonly blobs: Blobs;
  readonly taskQueue: string;
  /** How long runs become. */
  readonly limits: RunLimits;
  /** What sessions were before they came; left out: all were born here. */
  readonly archive?: Pick<Archive, 'read'> | undefined;
}

const CLOSED_WITHIN_MS = 5000;
/** What Temporal says of a run that has got all the signals that it may; the next run takes more. */
const FULL_RUN = /limit for signal events/;

/** Makes the backend of one life of sessions on a Temporal client. */
export function createTemporalBackend(
  { client, blobs, taskQueue, limits, archive }: TemporalBackendDeps,
  home: Home = BORN_ON_TEMPORAL,
): Backend {
  const { life } = home;

  async function orClosed(id: string, act: (handle: WorkflowHandle) => Promise<void>): Promise<void> {
    try {
      await act(client.workflow.getHandle(workflowIdOf(id, life)));
    } catch (error) {
      if (error instanceof WorkflowNotFoundError)
        throw new LogClosedError(`no workflow of session ${id} runs`, { cause: error });
      if (isTooMuch(error))
        throw new SessionBusyError(`Temporal takes no more for session ${id} at the moment`, {
          cause: error,
        });
      throw error;
    }
  }

  return {
    async start(id, { created: seed }, { created, initial }) {
      const start = startOptions(id, { seed, taskQueue, input: { v: 1, drafts: created, limits } });
      if (initial.length === 0) {
        await client.workflow.start(SESSION_WORKFLOW, start);
        return;
      }
      const signalArgs: [EmitInput] = [{ drafts: initial }];
      await client.workflow.signalWithStart(SESSION_WORKFLOW, { ...start, signal: EMIT_SIGNAL, signalArgs });
    },
    emit: (id, drafts) =>
      orClosed(id, (handle) => handle.signal(EMIT_SIGNAL, { drafts } satisfies EmitInput)),
    wake: (id) => orClosed(id, (handle) => handle.signal(WAKE_SIGNAL)),
    async remove(id) {
      await close(client, client.workflow.getHandle(workflowIdOf(id, life)));
      for (let past = 1; past <= life; past += 1) await erase(client, workflowIdOf(id, past));
    },
    cursor(id) {
      const pages = historyPages(client, workflowIdOf(id, life));
      return createHistoryCursor(
        { ...pages, unpack: (entry) => unpack(entry, (ref) => blobs.get(id, ref)) },
        { ...home, read: async (position, limit) => (await archive?.read(id, position, limit)) ?? [] },
      );
    },
  };
}

/** Whether a write was refused, and nothing of it has happened, because there are too many. */
export function isTooMuch(error: unknown): boolean {
  if (error instanceof Error && !isGrpcServiceError(error) && error.cause !== undefined)
    return isTooMuch(error.cause);
  if (!isGrpcServiceError(error)) return false;
  const { code, details } = error;
  return (
    code === GrpcStatus.RESOURCE_EXHAUSTED || (code === GrpcStatus.INVALID_ARGUMENT && FULL_RUN.test(details))
  );
}

/** Lets the workflow free its hand and end by itself; where no worker does that in time, it is erased anyway. */
async function close({ connection }: Client, handle: WorkflowHandle): Promise<void> {
  const late = AbortSignal.timeout(CLOSED_WITHIN_MS);
  try {
    await handle.signal(CLOSE_SIGNAL);
    await connection.withAbortSignal(late, () => handle.result());
  } catch (error) {
    const isOver = error instanceof WorkflowNotFoundError || error instanceof WorkflowFailedError;
    if (!isOver && !late.aborted) throw error;
  }
}
