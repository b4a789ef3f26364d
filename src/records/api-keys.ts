/** API keys in SQL. */
import type { Kysely } from 'kysely';
import type { ApiKeyRecords } from '../records.ts';
import type { Tables } from './schema.ts';

/** The keys of a database. */
export function createApiKeyRecords(db: Kysely<Tables>): ApiKeyRecords {
  return {
    add: async (hash, workspaceId) => {
      await db
        .insertInto('api_keys')
        .values({ hash, workspace_id: workspaceId })
        .onConflict((held) => held.column('hash').doUpdateSet({ workspace_id: workspaceId }))
        .execute();
    },
    find: async (hash) => {
      const row = await db
        .selectFrom('api_keys')
        .select('workspace_id')
        .where('hash', '=', hash)
        .executeTakeFirst();
      return row === undefined ? undefined : { workspaceId: row.workspace_id };
    },
  };
}
