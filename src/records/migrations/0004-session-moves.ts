import { sql, type Kysely } from 'kysely';

/** Where the log of a session is written, and how often it has been on Temporal. */
export async function sessionMoves(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('log_heads')
    .addColumn('place', 'text', (column) => column.notNull().defaultTo('here'))
    .execute();
  await db.schema
    .alterTable('log_heads')
    .addColumn('lives', 'integer', (column) => column.notNull().defaultTo(0))
    .execute();
  await sql`create index log_heads_moving on log_heads (session_id) where place in ('leaving', 'sealed', 'coming')`.execute(
    db,
  );
}
