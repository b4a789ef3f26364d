/** Agents and their versions in SQL. */
import type { Kysely } from 'kysely';
import type { AgentRecords, RowId } from '../records.ts';
import type { Agent } from '../wire/agent.ts';
import { lockRow } from './dialect.ts';
import type { Tables } from './schema.ts';
import { createdWithin, fetchSlice } from './slice.ts';

interface VersionRow {
  readonly data: string;
  readonly archived_at: string | null;
}

/** The agents of a database. */
export function createAgentRecords(db: Kysely<Tables>): AgentRecords {
  return {
    insert: (workspaceId, agent) =>
      db.transaction().execute(async (transaction) => {
        const { id, version, created_at, archived_at } = agent;
        await transaction
          .insertInto('agents')
          .values({ id, workspace_id: workspaceId, version, created_at, archived_at })
          .execute();
        await insertVersion(transaction, workspaceId, agent);
      }),
    get: (row, version) => readAgent(db, row, version),
    list: async (workspaceId, { createdAt, includeArchived }, request) => {
      const all = selectVersions(db)
        .whereRef('agents.version', '=', 'agent_versions.version')
        .where('agents.workspace_id', '=', workspaceId);
      const shown = includeArchived ? all : all.where('archived_at', 'is', null);
      const { rows, more } = await fetchSlice(createdWithin(shown, createdAt), ['created_at', 'id'], request);
      return { rows: rows.map(toAgent), more };
    },
    versions: async (row, request) => {
      const all = selectVersions(db)
        .where('agents.id', '=', row.id)
        .where('agents.workspace_id', '=', row.workspaceId);
      const { rows, more } = await fetchSlice(all, ['agent_versions.version'], request);
      if (rows.length === 0 && (await readAgent(db, row)) === undefined) return undefined;
      return { rows: rows.map(toAgent), more };
    },
    update: (row, change) =>
      db.transaction().execute(async (transaction) => {
        await lockRow(transaction, 'agents', row);
        const current = await readAgent(transaction, row);
        if (current === undefined) return undefined;
        const next = change(current);
        if (next === current) return current;
        if (next.version !== current.version) await insertVersion(transaction, row.workspaceId, next);
        await transaction
          .updateTable('agents')
          .set({ version: next.version, archived_at: next.archived_at })
          .where('id', '=', row.id)
          .execute();
        return next;
      }),
  };
}

function selectVersions(db: Kysely<Tables>) {
  return db
    .selectFrom('agents')
    .innerJoin('agent_versions', 'agent_versions.agent_id', 'agents.id')
    .select(['agent_versions.data', 'agents.archived_at']);
}

async function readAgent(
  db: Kysely<Tables>,
  { workspaceId, id }: RowId,
  version?: number,
): Promise<Agent | undefined> {
  const all = selectVersions(db).where('agents.id', '=', id).where('agents.workspace_id', '=', workspaceId);
  const one =
    version === undefined
      ? all.whereRef('agents.version', '=', 'agent_versions.version')
      : all.where('agent_versions.version', '=', version);
  const row = await one.executeTakeFirst();
  return row === undefined ? undefined : toAgent(row);
}

async function insertVersion(db: Kysely<Tables>, workspaceId: string, agent: Agent): Promise<void> {
  await db
    .insertInto('agent_versions')
    .values({
      agent_id: agent.id,
      workspace_id: workspaceId,
      version: agent.version,
      data: JSON.stringify(agent),
    })
    .execute();
}

function toAgent({ data, archived_at }: VersionRow): Agent {
  return { ...(JSON.parse(data) as Agent), archived_at };
}
