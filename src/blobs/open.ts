import { join } from 'node:path';
import type { Blobs } from '../blobs.ts';
import type { RoleConfig } from '../config.ts';
import { openDatabase } from '../records/open.ts';
import { createFolderBlobs } from './folder.ts';
import { createSqlBlobs } from './sql.ts';

/** Beside those of the records: heavy content must not keep small statements waiting. */
const CONNECTIONS = 4;

/** Blobs that hold something until they are closed. */
export interface OpenBlobs extends Blobs {
  close(): Promise<void>;
}

/** Opens the blobs where the settings say: in Postgres if the records are there, else in a folder. */
export async function openBlobs({
  database,
  dataDir,
}: Pick<RoleConfig, 'database' | 'dataDir'>): Promise<OpenBlobs> {
  if (database.kind === 'sqlite') {
    return { ...createFolderBlobs(join(dataDir, 'blobs')), close: async () => undefined };
  }
  const db = await openDatabase(database, CONNECTIONS);
  return { ...createSqlBlobs(db), close: () => db.destroy() };
}
