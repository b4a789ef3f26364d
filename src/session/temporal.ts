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
import type { Blobs } from '../blobs.ts';
import type { Draft, Entry } from '../log.ts';
import {
  MOST_QUEUED,
  SessionBusyError,
  SessionGoneError,
  SessionStoppedError,
  SessionTerminatedError,
  type SessionSeed,
  type Sessions,
} from '../session.ts';
import {
  CLOSE_SIGNAL,
  EMIT_SIGNAL,
  SEARCH_ATTRIBUTES,
  SESSION_WORKFLOW,
  WAKE_SIGNAL,
  type EmitInput,
  type SessionInput,
} from '../../workflows/messages.ts';
import { selectEvents, selectSlice } from './listing.ts';
import { pack, unpackAll } from './pack.ts';
import type { Reader } from './reader.ts';
import { createReaders } from './readers.ts';
import { tail } from './tail.ts';
import { erase } from './temporal-history.ts';

/** What the implementation is made of. */
export interface TemporalSessionsDeps {
  readonly client: Client;
  readonly blobs: Blobs;
  readonly taskQueue: string;
}

const VISIBLE_WITHIN_MS = 2000;
const CLOSED_WITHIN_MS = 5000;

/** Makes the sessions port on a Temporal client. */
export function createTemporalSessions({ client, blobs, taskQueue }: TemporalSessionsDeps): Sessions {
  const { readerOf, synced, live, forget } = createReaders(client, blobs);

  async function packFor(id: string, drafts: readonly Draft[]): Promise<Draft[]> {
    return pack(drafts, (text) => blobs.put(id, text));
  }

  async function refusalOf(id: string): Promise<Error> {
    const { view } = await synced(id);
    return view.terminatedAt === null
      ? new SessionStoppedError(
          `the workflow of session ${id} was stopped outside of Drover; its events can still be read`,
        )
      : new SessionTerminatedError(`session ${id} is terminated`);
  }

  return {
    async create(id, seed) {
      const created = await packFor(id, [{ event: seed.created }]);
      const start = startOptions(id, seed, taskQueue, { v: 1, drafts: created });
      if (seed.initial.length === 0) {
        await client.workflow.start(SESSION_WORKFLOW, start);
        return;
      }
      const signalArgs: [EmitInput] = [{ drafts: await packFor(id, seed.initial) }];
      await client.workflow.signalWithStart(SESSION_WORKFLOW, { ...start, signal: EMIT_SIGNAL, signalArgs });
    },

    async emitEvent(id, drafts) {
      const reader = readerOf(id);
      const from = reader.entries.length;
      const waiting = drafts.filter(
        (draft) => 'event' in draft && draft.event.type === 'user.message',
      ).length;
      if (waiting > 0 && (reader.view?.loop.queue.length ?? 0) + waiting > MOST_QUEUED) {
        throw new SessionBusyError(`more than ${MOST_QUEUED} messages are waiting to be taken up`);
      }
      const packed = await packFor(id, drafts);
      try {
        await client.workflow.getHandle(id).signal(EMIT_SIGNAL, { drafts: packed } satisfies EmitInput);
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) throw await refusalOf(id);
        throw error;
      }
      const ids = drafts.flatMap((draft) => ('event' in draft ? [draft.event.id] : []));
      const visible = await reader.until(
        () => ids.every((own) => reader.has(own)),
        AbortSignal.timeout(VISIBLE_WITHIN_MS),
      );
      if (!visible && reader.closed) throw await refusalOf(id);
      return firstForms(reader.entries, drafts, from);
    },

    async getEvents(id, slice = {}) {
      const reader =
        slice.throughId === undefined ? await synced(id) : await readThrough(readerOf(id), slice.throughId);
      return unpackAll(blobs, id, selectSlice(reader.entries, slice));
    },

    async listEvents(id, query) {
      const { entries } = await synced(id);
      const page = selectEvents(entries, query);
      return { ...page, entries: await unpackAll(blobs, id, page.entries) };
    },

    async getSession(id, freshness) {
      return (await (freshness === 'live' ? live(id) : synced(id))).view;
    },

    async follow(id, signal, position) {
      const reader = await live(id);
      const from = position ?? reader.entries.length;
      return { from, entries: tail(reader, from, signal, (entries) => unpackAll(blobs, id, entries)) };
    },

    async wake(id) {
      try {
        await client.workflow.getHandle(id).signal(WAKE_SIGNAL);
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) throw await refusalOf(id);
        throw error;
      }
    },

    async remove(id) {
      const reader = readerOf(id);
      const handle = client.workflow.getHandle(id);
      await close(handle, reader);
      await erase(client, id);
      await blobs.removeAll(id);
      forget(id);
    },
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

async function readThrough(reader: Reader, id: string): Promise<Reader> {
  await reader.until(() => reader.has(id), AbortSignal.timeout(30_000));
  if (!reader.has(id)) throw new SessionGoneError(`the log has no event ${id}`);
  return reader;
}

/** The events just sent, as they were when they came in. What is not visible yet is queued. */
function firstForms(entries: readonly Entry[], drafts: readonly Draft[], from: number): Entry[] {
  return drafts.flatMap((draft) => {
    if (!('event' in draft)) return [];
    const found = entries.find(({ event, position }) => position >= from && event.id === draft.event.id);
    const stamp = found?.event.processed_at ?? null;
    return [{ position: found?.position ?? -1, event: { ...draft.event, processed_at: stamp } }];
  });
}
