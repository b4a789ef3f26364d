/** Opens the control plane's database: a file of SQLite, the embedded form, or Postgres. Several processes may share it. */
import { DatabaseSync } from 'node:sqlite';
import { Kysely, PostgresDialect, sql } from 'kysely';
import type { DatabasePlace } from '../config.ts';
import { createPool, type PoolOptions } from '../postgres/pool.ts';
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
/** Connections to Postgres that one process holds for its statements at most. */
const POOL_SIZE = 10;

/** Opens the records and brings them to the present schema. */
export async function openRecords(place: DatabasePlace): Promise<Records> {
  const db = await openDatabase(place);
  return {
    apiKeys: createApiKeyRecords(db),
    agents: createAgentRecords(db),
    environments: createEnvironmentRecords(db),
    sessions: createSessionRecords(db),
    close: () => db.destroy(),
  };
}

/**
 * Opens the database, makes a file that is not there (`:memory:` is none), and brings it to the present schema.
 * `connections` bounds those to Postgres; they are opened when they are needed.
 */
export async function openDatabase(place: DatabasePlace, connections = POOL_SIZE): Promise<Kysely<Tables>> {
  return place.kind === 'sqlite' ? await openSqlite(place.path) : await openPostgres(place.url, connections);
}

async function openSqlite(path: string): Promise<Kysely<Tables>> {
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
  return db;
}

async function openPostgres(url: string, size: number): Promise<Kysely<Tables>> {
  // A change of the schema takes as long as it takes.
  const patient = connect({ url, size: 1, limits: {} });
  try {
    await requireUnicode(patient);
    await migrate(patient);
  } finally {
    await patient.destroy();
  }
  return connect({ url, size });
}

function connect(options: PoolOptions): Kysely<Tables> {
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool: createPool(options) }) });
}

/** Any other encoding would refuse some texts much later. */
async function requireUnicode(db: Kysely<Tables>): Promise<void> {
  const { rows } = await sql<{ encoding: string }>`
    select current_setting('server_encoding') as encoding`.execute(db);
  const encoding = rows[0]?.encoding;
  if (encoding !== 'UTF8') throw new Error(`The database has the encoding ${encoding}; it must be UTF8.`);
}
