/** The store of the configured database. */
import { join } from 'node:path';
import type { EngineDeps } from '../../engine.ts';
import { openSqliteRecords } from '../../records/sqlite.ts';
import { openSqliteLogStore } from './sqlite.ts';
import type { LogStore } from './store.ts';

/** Opens it, and brings its schema up to date. */
export async function openLogStore({ dataDir }: EngineDeps['config']): Promise<LogStore> {
  const path = join(dataDir, 'drover.db');
  await (await openSqliteRecords(path)).close();
  return openSqliteLogStore(path);
}
