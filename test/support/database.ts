/** Databases for tests: of both kinds, each empty and nobody else's. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import { inject } from 'vitest';
import type { DatabasePlace } from '../../src/config.ts';
import { whenNotBusy } from '../../src/records/node-sqlite.ts';

export type DatabaseKind = DatabasePlace['kind'];

/** The kinds that this machine has. That one is missing has been said by the run's set-up. */
export const DATABASE_KINDS: readonly DatabaseKind[] =
  inject('postgres') === '' ? ['sqlite'] : ['sqlite', 'postgres'];

export const hasPostgres = DATABASE_KINDS.includes('postgres');

/** A database that the caller must remove. */
export interface TestDatabase {
  readonly place: DatabasePlace;
  /** Breaks what is still connected. */
  remove(): Promise<void>;
}

export async function createTestDatabase(kind: DatabaseKind): Promise<TestDatabase> {
  if (kind === 'sqlite') {
    const folder = await mkdtemp(join(tmpdir(), 'drover-database-'));
    return {
      place: { kind, path: join(folder, 'drover.db') },
      remove: () => rm(folder, { recursive: true }),
    };
  }
  const { url, remove } = await createPostgresDatabase();
  return { place: { kind, url }, remove };
}

/** `options`: what follows the name in `create database`. */
export async function createPostgresDatabase(
  options = '',
): Promise<{ url: string; remove: () => Promise<void> }> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await query(inject('postgres'), `create database ${name} ${options}`);
  return {
    url: inject('postgres').replace(/\/postgres$/, `/${name}`),
    remove: () => query(inject('postgres'), `drop database ${name} with (force)`).then(() => undefined),
  };
}

/** One statement for either kind that answers nothing. */
export async function execute(place: DatabasePlace, sql: string): Promise<void> {
  if (place.kind === 'postgres') return void (await query(place.url, sql));
  const database = new DatabaseSync(place.path, { timeout: 0 });
  try {
    // Waiting in SQLite would keep whoever in this process holds the lock from giving it back.
    await whenNotBusy(() => database.exec(sql));
  } finally {
    database.close();
  }
}

/** One statement on a connection of its own. */
export async function query<Row>(url: string, sql: string): Promise<Row[]> {
  const client = new Client(url);
  await client.connect();
  try {
    return (await client.query(sql)).rows as Row[];
  } finally {
    await client.end();
  }
}
