/** The store of the configured database. */
import type { EngineDeps } from '../../engine.ts';
import { openStatements } from '../../postgres/statements.ts';
import { openDatabase } from '../../records/open.ts';
import { createPostgresLogStore } from './postgres.ts';
import { openSqliteLogStore } from './sqlite.ts';
import type { LogStore } from './store.ts';

/** Connections of one process at most: many sessions share them, each for as long as one statement takes. */
const CONNECTIONS = 16;

/** Opens it, and brings its schema up to date. `origin` names this process in what is announced. */
export async function openLogStore({ database }: EngineDeps['config'], origin: string): Promise<LogStore> {
  await (await openDatabase(database)).destroy();
  return database.kind === 'sqlite'
    ? openSqliteLogStore(database.path)
    : createPostgresLogStore(openStatements(database.url, CONNECTIONS), origin);
}
