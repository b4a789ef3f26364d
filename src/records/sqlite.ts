/** Records in SQLite, the embedded form. Several processes may have the same file open. */
import { DatabaseSync } from 'node:sqlite';
import { Kysely } from 'kysely';
import type { Records } from '../records.ts';
import { createAgentRecords } from './agents.ts';
import { createApiKeyRecords } from './api-keys.ts';
import { createEnvironmentRecords } from './environments.ts';
import { migrate } from './migrate.ts';
import { createNodeSqliteDialect, whenNotBusy } from './node-sqlite.ts';
import type { Tables } from './schema.ts';
import { createSessionRecords } from './sessions.ts';

/** Short, because it blocks the process; the dialect goes on waiting without blocking. */
const BUSY_TIMEOUT_MS = 10;

/** Opens the file (or `:memory:`), makes it if it is not there, and brings it to the present schema. */
export async function openSqliteRecords(path: string): Promise<Records> {
  const database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true });
  const db = new Kysely<Tables>({ dialect: createNodeSqliteDialect(database) });
  try {
    await whenNotBusy(() => database.exec('pragma journal_mode = wal'));
    database.exec('pragma synchronous = full');
    await migrate(db);
  } catch (error) {
    database.close();
    throw error;
  }
  return {
    apiKeys: createApiKeyRecords(db),
    agents: createAgentRecords(db),
    environments: createEnvironmentRecords(db),
    sessions: createSessionRecords(db),
    close: () => db.destroy(),
  };
}
