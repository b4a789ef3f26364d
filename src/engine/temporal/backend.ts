/**
 * Sessions on Temporal: one workflow a session, its history is the log. Reads go to the server and need no worker.
 */
import { WorkflowNotFoundError, type Client, type WorkflowHandle } from '@temporalio/client';
import type { Blobs } from '../../blobs.ts';
import { SessionGoneError } from '../../session.ts';
import { LogClosedError, type Backend } from '../../session/backend.ts';
import { BORN_ON_TEMPORAL, type Archive, type Home } from '../../session/home.ts';
import { unpack } from '../../session/pack.ts';
import type { Reader } from '../../session/reader.ts';
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
  /** What sessions were before they came; left out: all were born here. */
  readonly archive?: Archive | undefined;
}

const CLOSED_WITHIN_MS = 5000;

/** Makes the backend of one life of sessions on a Temporal client. */
export function createTemporalBackend(
  { client, blobs, taskQueue, archive }: TemporalBackendDeps,
  { life, base }: Home = BORN_ON_TEMPORAL,
): Backend {
  async function orClosed(id: string, act: (handle: WorkflowHandle) => Promise<void>): Promise<void> {
    try {
      await act(client.workflow.getHandle(workflowIdOf(id, life)));
    } catch (error) {
      if (error instanceof WorkflowNotFoundError)
        throw new LogClosedError(`no workflow of session ${id} runs`, { cause: error });
      throw error;
    }
  }

  return {
    async start(id, { created: seed }, { created, initial }) {
      const start = startOptions(id, { seed, taskQueue, input: { v: 1, drafts: created } });
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
    async remove(id, reader) {
      await close(client.workflow.getHandle(workflowIdOf(id, life)), reader);
      for (let past = 1; past <= life; past += 1) await erase(client, workflowIdOf(id, past));
    },
    cursor(id) {
      const pages = historyPages(client, workflowIdOf(id, life));
      return createHistoryCursor(
        { ...pages, unpack: (entry) => unpack(entry, (ref) => blobs.get(id, ref)) },
        { base, read: async (position, limit) => (await archive?.read(id, position, limit)) ?? [] },
      );
    },
  };
}

/** Lets the workflow free its hand and end by itself; where no worker does that in time, it is erased anyway. */
async function close(handle: WorkflowHandle, reader: Reader): Promise<void> {
  try {
    await handle.signal(CLOSE_SIGNAL);
    await reader.until(() => reader.closed, AbortSignal.timeout(CLOSED_WITHIN_MS));
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError) && !(error instanceof SessionGoneError)) throw error;
  }
}
