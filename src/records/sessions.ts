/** Sessions in SQL: the rows that lists and lookups need. What a session is, is in its event log. */
import type { Kysely, Selectable } from 'kysely';
import {
  MissingReferenceError,
  type RowId,
  type SessionFilter,
  type SessionRecords,
  type SessionRow,
} from '../records.ts';
import { isForeignKeyViolation } from './dialect.ts';
import type { SessionTable, Tables } from './schema.ts';
import { createdWithin, fetchSlice } from './slice.ts';

/** The sessions of a database. */
export function createSessionRecords(db: Kysely<Tables>): SessionRecords {
  return {
    insert: (session) =>
      db.transaction().execute(async (transaction) => {
        await requireReferences(transaction, session);
        const write = transaction.insertInto('sessions').values(toColumns(session)).execute();
        await write.catch((error: unknown) => {
          // Postgres: deleted since it was looked for. Versions of agents are never deleted.
          throw isForeignKeyViolation(error) ? environmentMissing(session, error) : error;
        });
      }),
    get: async ({ workspaceId, id }) => {
      const row = await db
        .selectFrom('sessions')
        .selectAll()
        .where('id', '=', id)
        .where('workspace_id', '=', workspaceId)
        .executeTakeFirst();
      return row === undefined ? undefined : toRow(row);
    },
    list: async (workspaceId, filter, request) => {
      const { rows, more } = await fetchSlice(
        selectFiltered(db, workspaceId, filter),
        ['created_at', 'id'],
        request,
      );
      return { rows: rows.map(toRow), more };
    },
    ...createWrites(db),
    countByEnvironment: async (workspaceId, environmentId) => {
      const { count } = await db
        .selectFrom('sessions')
        .select((select) => select.fn.countAll<number>().as('count'))
        .where('workspace_id', '=', workspaceId)
        .where('environment_id', '=', environmentId)
        .executeTakeFirstOrThrow();
      return count;
    },
    listByState: async (state, limit) => {
      const rows = await db
        .selectFrom('sessions')
        .selectAll()
        .where('state', '=', state)
        .orderBy('created_at')
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map(toRow);
    },
  };
}

function createWrites(db: Kysely<Tables>): Pick<SessionRecords, 'setState' | 'setArchived' | 'delete'> {
  return {
    setState: async ({ workspaceId, id }, state, from) => {
      const all = db
        .updateTable('sessions')
        .set({ state })
        .where('id', '=', id)
        .where('workspace_id', '=', workspaceId);
      const { numUpdatedRows } = await (
        from === undefined ? all : all.where('state', '=', from)
      ).executeTakeFirst();
      return numUpdatedRows > 0n;
    },
    setArchived: async ({ workspaceId, id }, archivedAt) => {
      const { numUpdatedRows } = await db
        .updateTable('sessions')
        .set((set) => ({ archived_at: set.fn.coalesce('archived_at', set.val(archivedAt)) }))
        .where('id', '=', id)
        .where('workspace_id', '=', workspaceId)
        .executeTakeFirst();
      return numUpdatedRows > 0n;
    },
    delete: async ({ workspaceId, id }) => {
      const { numDeletedRows } = await db
        .deleteFrom('sessions')
        .where('id', '=', id)
        .where('workspace_id', '=', workspaceId)
        .executeTakeFirst();
      return numDeletedRows > 0n;
    },
  };
}

function selectFiltered(db: Kysely<Tables>, workspaceId: string, filter: SessionFilter) {
  const { agentId, agentVersion, deploymentId, includeArchived, states = ['ready'] } = filter;
  let query = db
    .selectFrom('sessions')
    .selectAll()
    .where('workspace_id', '=', workspaceId)
    .where('state', 'in', [...states]);
  if (agentId !== undefined) query = query.where('agent_id', '=', agentId);
  if (agentVersion !== undefined) query = query.where('agent_version', '=', agentVersion);
  if (deploymentId !== undefined) query = query.where('deployment_id', '=', deploymentId);
  if (!includeArchived) query = query.where('archived_at', 'is', null);
  return createdWithin(query, filter.createdAt);
}

/** What foreign keys do not say: that both belong to the workspace, and which of the two is missing. */
async function requireReferences(db: Kysely<Tables>, session: SessionRow): Promise<void> {
  const { workspaceId, agentId, agentVersion, environmentId } = session;
  const agent = await db
    .selectFrom('agent_versions')
    .select('agent_id')
    .where('agent_id', '=', agentId)
    .where('version', '=', agentVersion)
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirst();
  if (agent === undefined)
    throw new MissingReferenceError(`Agent \`${agentId}\` version ${agentVersion} not found.`);
  const environment = await db
    .selectFrom('environments')
    .select('id')
    .where('id', '=', environmentId)
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirst();
  if (environment === undefined) throw environmentMissing(session);
}

function environmentMissing({ environmentId }: SessionRow, cause?: unknown): MissingReferenceError {
  return new MissingReferenceError(`Environment \`${environmentId}\` not found.`, { cause });
}

function toColumns(session: SessionRow): Selectable<SessionTable> {
  return {
    id: session.id,
    workspace_id: session.workspaceId,
    agent_id: session.agentId,
    agent_version: session.agentVersion,
    environment_id: session.environmentId,
    deployment_id: session.deploymentId,
    created_at: session.createdAt,
    archived_at: session.archivedAt,
    state: session.state,
  };
}

function toRow(row: Selectable<SessionTable>): SessionRow {
  const named: RowId = { workspaceId: row.workspace_id, id: row.id };
  return {
    ...named,
    agentId: row.agent_id,
    agentVersion: row.agent_version,
    environmentId: row.environment_id,
    deploymentId: row.deployment_id,
    createdAt: row.created_at,
    archivedAt: row.archived_at,
    state: row.state,
  };
}
