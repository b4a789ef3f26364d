/** How much a server keeps: what is in its tables, not how large their files happen to be at the moment. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import type { ByName } from './values.ts';

/** KiB in each SQLite file and in the blobs of a data dir. */
export async function storedInDataDir(dataDir: string): Promise<ByName> {
  const files = await sqliteFiles(dataDir);
  const databases = files.map((file) => [file, usedKiB(join(dataDir, file))] as const);
  return Object.fromEntries([...databases, ['blobs', await folderKiB(join(dataDir, 'blobs'))]]);
}

/** The SQLite files of a data dir, by name. */
export async function sqliteFiles(dataDir: string): Promise<string[]> {
  const names = await readdir(dataDir);
  return names.filter((name) => /\.(db|sqlite)$/.test(name)).sort();
}

/** KiB in each database of a Postgres server, with indexes and what is dead but not yet cleared; its WAL apart. */
export async function storedInPostgres(url: string): Promise<ByName> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string; bytes: string }>(
      "select datname as name, pg_database_size(datname) as bytes from pg_database where not datistemplate and datname <> 'postgres'",
    );
    // Names that are made up for one run say nothing.
    return Object.fromEntries(
      rows.map(({ name, bytes }) => [name.replace(/_[0-9a-f]{8,}$/, ''), Number(bytes) / 1024]),
    );
  } finally {
    await client.end();
  }
}

/** Pages in use, wherever they are at the moment: in the file or in its write-ahead log. */
function usedKiB(path: string): number {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const pragma = (name: string): number =>
      Number(Object.values(database.prepare(`pragma ${name}`).get() ?? {})[0]);
    return ((pragma('page_count') - pragma('freelist_count')) * pragma('page_size')) / 1024;
  } finally {
    database.close();
  }
}

async function folderKiB(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0) / 1024;
}
