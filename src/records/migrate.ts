/** Brings a database to the present schema. Safe to run by several processes at once: one does it, the others wait. */
import { sql, type Kysely } from 'kysely';
import { isPostgres } from './dialect.ts';
import { controlPlane } from './migrations/0001-control-plane.ts';
import { blobs } from './migrations/0002-blobs.ts';
import { sessionLog } from './migrations/0003-session-log.ts';
import { sessionMoves } from './migrations/0004-session-moves.ts';
import { segments } from './migrations/0005-segments.ts';
import { sealedLogs } from './migrations/0006-sealed-logs.ts';

/** A step; it must not change once it has been released. */
type Migration = (db: Kysely<unknown>) => Promise<void>;

/** All steps in order: the first is number 1. */
const MIGRATIONS: readonly Migration[] = [
  controlPlane,
  blobs,
  sessionLog,
  sessionMoves,
  segments,
  sealedLogs,
];

/** Any number that nobody else would think of: who holds this lock of Postgres migrates. */
const MIGRATION_LOCK = 7_236_142_088;

/** The database was made by a newer version of the server. */
class NewerSchemaError extends Error {
  override readonly name = 'NewerSchemaError';
}

/**
 * Runs the steps that are missing, all or none. Counts on transactions that cover DDL and, in SQLite, lock out other
 * writers from their start.
 *
 * @throws {NewerSchemaError}
 */
export async function migrate<T>(db: Kysely<T>): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    if (isPostgres(db)) await sql`select pg_advisory_xact_lock(${MIGRATION_LOCK})`.execute(transaction);
    await sql`create table if not exists migrations (number integer primary key)`.execute(transaction);
    const { rows } = await sql<{ done: number | null }>`select max(number) as done from migrations`.execute(
      transaction,
    );
    const done = rows[0]?.done ?? 0;
    if (done > MIGRATIONS.length) {
      throw new NewerSchemaError(
        `The database has schema ${done}; this version of the server knows ${MIGRATIONS.length}.`,
      );
    }
    for (const [index, migration] of MIGRATIONS.entries()) {
      if (index < done) continue;
      await migration(transaction as unknown as Kysely<unknown>);
      await sql`insert into migrations (number) values (${index + 1})`.execute(transaction);
    }
  });
}
