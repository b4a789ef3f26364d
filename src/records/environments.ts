/** Environments in SQL. */
import type { Kysely } from 'kysely';
import { NameTakenError, type EnvironmentRecords, type RowId } from '../records.ts';
import type { Environment } from '../wire/environment.ts';
import type { Tables } from './schema.ts';
import { fetchSlice } from './slice.ts';

/** The environments of a database. */
export function createEnvironmentRecords(db: Kysely<Tables>): EnvironmentRecords {
  return {
    insert: (workspaceId, environment) =>
      db.transaction().execute(async (transaction) => {
        await claimName(transaction, workspaceId, environment);
        await transaction
          .insertInto('environments')
          .values({
            id: environment.id,
            workspace_id: workspaceId,
            created_at: environment.created_at,
            ...toColumns(environment),
          })
          .execute();
      }),
    get: (row) => readEnvironment(db, row),
    list: async (workspaceId, { includeArchived }, request) => {
      const all = db.selectFrom('environments').select('data').where('workspace_id', '=', workspaceId);
      const shown = includeArchived ? all : all.where('archived_at', 'is', null);
      const { rows, more } = await fetchSlice(shown, ['created_at', 'id'], request);
      return { rows: rows.map(({ data }) => toEnvironment(data)), more };
    },
    update: (row, change) =>
      db.transaction().execute(async (transaction) => {
        const current = await readEnvironment(transaction, row);
        if (current === undefined) return undefined;
        const next = change(current);
        if (next === current) return current;
        await claimName(transaction, row.workspaceId, next);
        await transaction.updateTable('environments').set(toColumns(next)).where('id', '=', row.id).execute();
        return next;
      }),
    delete: (row) =>
      db.transaction().execute(async (transaction) => {
        if ((await readEnvironment(transaction, row)) === undefined) return 'missing';
        const user = await transaction
          .selectFrom('sessions')
          .select('id')
          .where('environment_id', '=', row.id)
          .limit(1)
          .executeTakeFirst();
        if (user !== undefined) return 'in_use';
        await transaction.deleteFrom('environments').where('id', '=', row.id).execute();
        return 'deleted';
      }),
  };
}

async function readEnvironment(
  db: Kysely<Tables>,
  { workspaceId, id }: RowId,
): Promise<Environment | undefined> {
  const row = await db
    .selectFrom('environments')
    .select('data')
    .where('id', '=', id)
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirst();
  return row === undefined ? undefined : toEnvironment(row.data);
}

/** Asked first instead of reading it out of the driver's error, whose form differs between databases. */
async function claimName(db: Kysely<Tables>, workspaceId: string, { id, name }: Environment): Promise<void> {
  const holder = await db
    .selectFrom('environments')
    .select('id')
    .where('workspace_id', '=', workspaceId)
    .where('name', '=', name)
    .where('id', '!=', id)
    .executeTakeFirst();
  if (holder !== undefined)
    throw new NameTakenError(`An environment named ${JSON.stringify(name)} already exists.`);
}

function toColumns(environment: Environment) {
  const { name, archived_at } = environment;
  return { name, archived_at, data: JSON.stringify(environment) };
}

function toEnvironment(data: string): Environment {
  return JSON.parse(data) as Environment;
}
