/**
 * Sessions on Temporal: one workflow a session, its history is the log. Reads go to the server and need no worker.
 */
import { WorkflowNotFoundError, type Client, type WorkflowHandle } from '@temporalio/client';
import {
  defineSearchAttributeKey,
  SearchAttributeType,
  TypedSearchAttributes,
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
} from '@temporalio/common';
import type { Blobs } from '../../blobs.ts';
import { SessionGoneError, type SessionSeed } from '../../session.ts';
import { LogClosedError, type Backend } from '../../session/backend.ts';
import type { Reader } from '../../session/reader.ts';
import {
  CLOSE_SIGNAL,
  EMIT_SIGNAL,
  SEARCH_ATTRIBUTES,
  SESSION_WORKFLOW,
  WAKE_SIGNAL,
  type EmitInput,
  type SessionInput,
} from '../../../workflows/messages.ts';
import { createHistoryCursor } from './history-cursor.ts';
import { erase, historySource } from './history-source.ts';

/** What the implementation is made of. */
export interface TemporalBackendDeps {
  readonly client: Client;
  readonly blobs: Blobs;
  readonly taskQueue: string;
}

const CLOSED_WITHIN_MS = 5000;

/** Makes the backend on a Temporal client. */
export function createTemporalBackend({ client, blobs, taskQueue }: TemporalBackendDeps): Backend {
  async function orClosed(id: string, act: (handle: WorkflowHandle) => Promise<void>): Promise<void> {
    try {
      await act(client.workflow.getHandle(id));
    } catch (error) {
      if (error instanceof WorkflowNotFoundError)
        throw new LogClosedError(`no workflow of session ${id} runs`, { cause: error });
      throw error;
    }
  }

  return {
    async start(id, seed, { created, initial }) {
      const start = startOptions(id, seed, taskQueue, { v: 1, drafts: created });
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
      await close(client.workflow.getHandle(id), reader);
      await erase(client, id);
    },
    cursor: (id) => createHistoryCursor(historySource(client, blobs, id)),
  };
}

function startOptions(id: string, { created }: SessionSeed, taskQueue: string, input: SessionInput) {
  const { agent } = created;
  const keyword = (name: string, value: unknown) => ({
    key: defineSearchAttributeKey(name, SearchAttributeType.KEYWORD),
    value: String(value),
  });
  return {
    workflowId: id,
    taskQueue,
    args: [input],
    workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
    workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
    staticSummary: `${created.title ?? 'untitled'}: ${created.agent_name}`.slice(0, 200),
    memo: { title: created.title ?? '', agent: created.agent_name },
    typedSearchAttributes: new TypedSearchAttributes([
      keyword(SEARCH_ATTRIBUTES.status, 'idle'),
      keyword(SEARCH_ATTRIBUTES.agentId, agent['id']),
      keyword(SEARCH_ATTRIBUTES.agentName, created.agent_name),
      keyword(SEARCH_ATTRIBUTES.environmentId, created.environment_id),
      keyword(SEARCH_ATTRIBUTES.workspaceId, created.workspace_id),
      keyword(SEARCH_ATTRIBUTES.model, (agent['model'] as { id?: unknown } | undefined)?.id),
    ]),
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
