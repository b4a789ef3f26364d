/** Where SQLite and Postgres differ for records. */
import { PostgresAdapter, sql, type ColumnDataType, type Kysely, type RawBuilder } from 'kysely';
import type { RowId } from '../records.ts';
import type { Tables } from './schema.ts';

/** SQLSTATE, and SQLite's extended result code. */
const UNIQUE = ['23505', 2067];
const FOREIGN_KEY = ['23503', 787];

type ColumnType = ColumnDataType | RawBuilder<unknown>;

/** Whether the database is Postgres. */
export function isPostgres<T>(db: Kysely<T>): boolean {
  return db.getExecutor().adapter instanceof PostgresAdapter;
}

/** The type of texts that sort by their bytes whatever the database's collation, as SQLite's do. */
export function textType<T>(db: Kysely<T>): ColumnType {
  return isPostgres(db) ? sql`text collate "C"` : 'text';
}

/** The type of bytes. */
export function bytesType<T>(db: Kysely<T>): ColumnType {
  return isPostgres(db) ? 'bytea' : 'blob';
}

/**
 * Keeps a row as it is until the transaction ends; read it after this. SQLite needs no such thing: its transactions
 * are one at a time.
 */
export async function lockRow(
  transaction: Kysely<Tables>,
  table: 'agents' | 'environments',
  { workspaceId, id }: RowId,
): Promise<void> {
  if (!isPostgres(transaction)) return;
  // A statement of its own: one that joins would see what it joins as it was before the wait for the lock.
  await transaction
    .selectFrom(table)
    .select('id')
    .where('id', '=', id)
    .where('workspace_id', '=', workspaceId)
    .forUpdate()
    .execute();
}

/** Whether a write failed because another row has a value that must be unique. */
export function isUniqueViolation(error: unknown): boolean {
  return hasCode(error, UNIQUE);
}

/** Whether a write failed because a row that it refers to is not there. */
export function isForeignKeyViolation(error: unknown): boolean {
  return hasCode(error, FOREIGN_KEY);
}

function hasCode(error: unknown, [code, errcode]: readonly unknown[]): boolean {
  if (!(error instanceof Error)) return false;
  return ('code' in error && error.code === code) || ('errcode' in error && error.errcode === errcode);
}
