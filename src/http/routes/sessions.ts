/** Sessions over HTTP (wire-api section 9): create, read, list, update, archive, delete. */
import { newId } from '../../id.ts';
import type { Draft } from '../../log.ts';
import { limitOf } from '../../loop/cost.ts';
import { spentMicrocents } from '../../loop/usage.ts';
import { MissingReferenceError, type SessionRow } from '../../records.ts';
import { SessionGoneError, type Sessions, type SessionView } from '../../session.ts';
import type { Budget } from '../../wire/budget.ts';
import { initialEventParams } from '../../wire/event-params.ts';
import { invalidRequest, notFound } from '../../wire/error.ts';
import { mergeMetadata, sameJson } from '../../wire/fields.ts';
import { updateSessionAgent, type SessionAgent } from '../../wire/session-agent.ts';
import {
  sessionCreateParams,
  SESSION_STATUSES,
  sessionUpdateParams,
  type Session,
  type SessionUpdateParams,
} from '../../wire/session.ts';
import { statusOf, toSession } from '../../session-resource.ts';
import type { App } from '../app.ts';
import { readBody } from '../body.ts';
import { toSliceRequest, toTwoWayPage } from '../paging.ts';
import {
  boolParam,
  intParam,
  limitParam,
  listParam,
  readQuery,
  textParam,
  timeParam,
  wordParam,
} from '../query.ts';
import { resolveSession } from './session-create.ts';
import {
  createAccess,
  orApiError,
  readView,
  type SessionDeps,
  type SessionRouteDeps,
} from '../session-access.ts';
import { parseEvents, toDrafts } from '../session-input.ts';
import { mountSessionEvents } from './session-events.ts';

const listQuery = {
  agent_id: textParam(),
  agent_version: intParam(1),
  'created_at[gt]': timeParam(),
  'created_at[gte]': timeParam(),
  'created_at[lt]': timeParam(),
  'created_at[lte]': timeParam(),
  deployment_id: textParam(),
  memory_store_id: textParam(),
  include_archived: boolParam(),
  statuses: listParam(SESSION_STATUSES),
  order: wordParam(['asc', 'desc']),
  limit: limitParam(100, 20),
  page: textParam(),
};

/** Adds the routes. */
export function mountSessions(app: App, base: SessionDeps): void {
  const deps: SessionRouteDeps = { ...base, ...createAccess(base.records) };
  mountCreate(app, deps);
  mountReads(app, deps);
  mountChanges(app, deps);
  mountSessionEvents(app, deps);
}

function mountCreate(app: App, { records, sessions, now, settings }: SessionRouteDeps): void {
  app.post('/v1/sessions', async (c) => {
    const workspaceId = c.get('workspaceId');
    const params = await readBody(c, sessionCreateParams);
    const initial = toDrafts(parseEvents(params.initial_events ?? [], 'initial_events', initialEventParams));
    const { created, agent } = await resolveSession({ records, settings }, workspaceId, params);
    const row: SessionRow = {
      workspaceId,
      id: newId('sesn'),
      agentId: agent.id,
      agentVersion: agent.version,
      environmentId: params.environment_id,
      deploymentId: null,
      createdAt: now(),
      archivedAt: null,
      state: 'creating',
    };
    // The row comes first and is shown last: whatever dies in between, a sweeper finishes or undoes it.
    await records.sessions.insert(row).catch(referenceGone);
    await orApiError(row.id, sessions.create(row.id, { created, initial }));
    await records.sessions.setState(row, 'ready', 'creating');
    const view = await readView(sessions, row.id);
    const session = toSession(row, view, Date.now());
    return c.json(initial.length > 0 ? { ...session, status: 'running' as const } : session);
  });
}

/** What the session names was deleted while it was being created. */
function referenceGone(error: unknown): never {
  throw error instanceof MissingReferenceError ? notFound(error.message) : error;
}

function mountReads(app: App, { records, sessions, find }: SessionRouteDeps): void {
  app.get('/v1/sessions/:id', async (c) => {
    const row = await find(c);
    return c.json(toSession(row, await readView(sessions, row.id), Date.now()));
  });

  app.get('/v1/sessions', async (c) => {
    const query = readQuery(c, listQuery);
    const order = query.order ?? 'desc';
    const createdAt = {
      gt: query['created_at[gt]'],
      gte: query['created_at[gte]'],
      lt: query['created_at[lt]'],
      lte: query['created_at[lte]'],
    };
    const request = { list: 'sessions', order, limit: query.limit, page: query.page, within: createdAt };
    const filter = {
      agentId: query.agent_id,
      agentVersion: query.agent_version,
      deploymentId: query.deployment_id,
      createdAt,
      includeArchived: query.include_archived,
    };
    const slice = toSliceRequest(request);
    // No session has a memory store yet, so a filter by one finds none.
    const statuses = query.memory_store_id === undefined ? query.statuses : [];
    const found = await collect(statuses, slice, async (part) => {
      const { rows, more } = await records.sessions.list(c.get('workspaceId'), filter, part);
      return { more, rows: await Promise.all(rows.map((row) => readSession(sessions, row))) };
    });
    const page = toTwoWayPage(found, request, ({ row }) => [row.createdAt, row.id]);
    return c.json({ ...page, data: page.data.map(({ session }) => session) });
  });
}

type Found = { readonly row: SessionRow; readonly session: Session | undefined };
type Slice = ReturnType<typeof toSliceRequest>;

/** Filters by status page by page: the status is in the log, not in the row. */
async function collect(
  statuses: readonly string[] | undefined,
  request: Slice,
  fetch: (request: Slice) => Promise<{ rows: readonly Found[]; more: boolean }>,
): Promise<{ rows: Found[]; more: boolean }> {
  const wanted = ({ session }: Found): boolean =>
    session !== undefined && (statuses === undefined || statuses.includes(session.status));
  const backwards = request.cursor?.direction === 'prev';
  const kept: Found[] = [];
  let { cursor } = request;
  if (statuses?.length === 0) return { rows: [], more: false };
  for (;;) {
    const { rows, more } = await fetch({ ...request, cursor });
    const fresh = rows.filter(wanted);
    if (backwards) kept.unshift(...fresh);
    else kept.push(...fresh);
    const edge = backwards ? rows.at(0) : rows.at(-1);
    // With a filter, only a row too many proves that a page follows: an empty page would have no way back.
    const surplus = kept.length > request.limit;
    const isFull = statuses === undefined && kept.length === request.limit;
    if (surplus || isFull || !more || !edge) {
      return {
        rows: backwards ? kept.slice(-request.limit) : kept.slice(0, request.limit),
        more: surplus || more,
      };
    }
    cursor = { direction: backwards ? 'prev' : 'next', key: [edge.row.createdAt, edge.row.id] };
  }
}

async function readSession(sessions: Sessions, row: SessionRow): Promise<Found> {
  // A session that is deleted while the list is made is left out of it; what cannot be read now is no reason to hide one.
  const view = await sessions.getSession(row.id).catch((error: unknown) => {
    if (error instanceof SessionGoneError) return undefined;
    throw error;
  });
  return { row, session: view && toSession(row, view, Date.now()) };
}

function mountChanges(app: App, { records, sessions, now, find }: SessionRouteDeps): void {
  app.post('/v1/sessions/:id', async (c) => {
    const row = await find(c);
    const params = await readBody(c, sessionUpdateParams);
    const view = await readView(sessions, row.id);
    const changes = changesOf(params, view);
    if (view.terminatedAt !== null || row.archivedAt !== null) {
      throw invalidRequest(`Session ${row.id} is archived and cannot be updated.`);
    }
    if (changes) await orApiError(row.id, sessions.emitEvent(row.id, [updatedDraft(changes)]));
    return c.json(toSession(row, await readView(sessions, row.id), Date.now()));
  });

  app.post('/v1/sessions/:id/archive', async (c) => {
    const row = await find(c);
    const view = await readView(sessions, row.id);
    if (view.terminatedAt === null) {
      refuseWhileRunning(view, `Session ${row.id} cannot be archived`);
      const thread = { agent_name: view.loop.agentName, session_thread_id: view.loop.threadId };
      const ending: Draft[] = [
        { event: { id: newId('sevt'), type: 'session.thread_status_terminated', ...thread } },
        { event: { id: newId('sevt'), type: 'session.status_terminated' } },
      ];
      await orApiError(row.id, sessions.emitEvent(row.id, ending));
    }
    const archivedAt = row.archivedAt ?? now();
    await records.sessions.setArchived(row, archivedAt);
    return c.json(toSession({ ...row, archivedAt }, await readView(sessions, row.id), Date.now()));
  });

  app.delete('/v1/sessions/:id', async (c) => {
    const row = await find(c);
    const view = await readView(sessions, row.id);
    refuseWhileRunning(view, `Session ${row.id} cannot be deleted`);
    await records.sessions.setState(row, 'deleting');
    await sessions.remove(row.id);
    await records.sessions.delete(row);
    return c.json({ id: row.id, type: 'session_deleted' as const });
  });
}

/** A budget may be raised or removed, whatever the session does; never added (wire-api 27.3). */
function budgetChange(budget: Budget | null | undefined, { loop }: SessionView): Pick<Changes, 'budget'> {
  if (budget === undefined || sameJson(budget, loop.budget)) return {};
  if (budget === null) return { budget };
  if (loop.budget === null) {
    throw invalidRequest('budget: a budget can only be set when a session is created', {
      errorCode: 'budget_create_only',
    });
  }
  if (limitOf(budget) <= spentMicrocents(loop, Date.now())) {
    throw invalidRequest(
      "budget.max_list_cost: budget.max_list_cost must be greater than the session's consumed list cost",
      { errorCode: 'budget_not_raised' },
    );
  }
  return { budget };
}

interface Changes {
  budget?: Budget | null;
  agent?: SessionAgent;
  title?: string | null;
  metadata?: Record<string, string>;
}

/** What an update would change; undefined: nothing. Throws 400 for what cannot be changed. */
function changesOf(params: SessionUpdateParams, view: SessionView): Changes | undefined {
  if (params.vault_ids !== undefined)
    throw invalidRequest('vault_ids: reserved; vaults can only be set when a session is created');
  const changes: Changes = { ...budgetChange(params.budget, view) };
  if (params.title !== undefined && params.title !== view.title) changes.title = params.title;
  if (params.metadata !== undefined) {
    const metadata = params.metadata === null ? {} : mergeMetadata({ ...view.metadata }, params.metadata);
    if (!sameJson(metadata, view.metadata)) changes.metadata = metadata;
  }
  if (params.agent) {
    const current = view.agent as unknown as SessionAgent;
    const agent = updateSessionAgent(current, params.agent);
    if (agent !== current) {
      refuseWhileRunning(view, 'agent: tools and mcp_servers cannot be updated');
      changes.agent = agent;
    }
  }
  return Object.keys(changes).length > 0 ? changes : undefined;
}

function updatedDraft(changes: Changes): Draft {
  const { agent, ...rest } = changes;
  const event = { id: newId('sevt'), type: 'session.updated' as const, ...rest };
  if (!agent) return { event };
  const mcpServers = agent.mcp_servers.map(({ name }) => name);
  return { event: { ...event, agent: { ...agent } }, extra: { mcpServers } };
}

function refuseWhileRunning(view: SessionView, what: string): void {
  const status = statusOf(view);
  if (status !== 'running' && status !== 'rescheduling') return;
  throw invalidRequest(
    `${what} while its status is "${status}". Send user.interrupt to bring it to idle first.`,
  );
}
