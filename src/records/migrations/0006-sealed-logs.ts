import { sql, type Kysely } from 'kysely';

/** How far segments cover a log, and which log it is that stands under a session's id. */
export async function sealedLogs(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('log_heads')
    .addColumn('sealed', 'integer', (column) => column.notNull().defaultTo(0))
    .execute();
  await db.schema.alterTable('log_heads').addColumn('log_id', 'text').execute();
  await sql`update log_heads set sealed = coalesce(
    (select max(to_position) from log_segments where log_segments.session_id = log_heads.session_id), 0)`.execute(
    db,
  );
}
