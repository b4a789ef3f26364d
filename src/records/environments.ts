/** Environments in SQL. */
import type { Kysely } from 'kysely';
import { NameTakenError, type EnvironmentRecords, type RowId } from '../records.ts';
import type { Environment } from '../wire/environment.ts';
import { isUniqueViolation, lockRow } from './dialect.ts';
import type { Tables } from './schema.ts';
import { fetchSlice } from './slice.ts';

/** The environments of a database. */
export function createEnvironmentRecords(db: Kysely<Tables>): EnvironmentRecords {
  return {
    insert: async (workspaceId, environment) => {
      const { id, created_at } = environment;
      const write = db
        .insertInto('environments')
        .values({ id, workspace_id: workspaceId, created_at, ...toColumns(environment) })
        .execute();
      await claimName(write, environment);
    },
    get: (row) => readEnvironment(db, row),
    list: async (workspaceId, { includeArchived }, request) => {
      const all = db.selectFrom('environments').select('data').where('workspace_id', '=', workspaceId);
      const shown = includeArchived ? all : all.where('archived_at', 'is', null);
      const { rows, more } = await fetchSlice(shown, ['created_at', 'id'], request);
      return { rows: rows.map(({ data }) => toEnvironment(data)), more };
    },
    update: (row, change) =>
      db.transaction().execute(async (transaction) => {
        await lockRow(transaction, 'environments', row);
        const current = await readEnvironment(transaction, row);
        if (current === undefined) return undefined;
        const next = change(current);
        if (next === current) return current;
        const all = transaction.updateTable('environments').set(toColumns(next));
        await claimName(all.where('id', '=', row.id).execute(), next);
        return next;
      }),
    delete: (row) =>
      db.transaction().execute(async (transaction) => {
        // A session that is being inserted meanwhile comes before this, or finds nothing to refer to.
        await lockRow(transaction, 'environments', row);
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

/** Waits for a write of the row. Nothing but its name has to be unique among others. */
async function claimName(write: Promise<unknown>, { name }: Environment): Promise<void> {
  await write.catch((error: unknown) => {
    if (!isUniqueViolation(error)) throw error;
    throw new NameTakenError(`An environment named ${JSON.stringify(name)} already exists.`, {
      cause: error,
    });
  });
}

function toColumns(environment: Environment) {
  const { name, archived_at } = environment;
  return { name, archived_at, data: JSON.stringify(environment) };
}

function toEnvironment(data: string): Environment {
  return JSON.parse(data) as Environment;
}
