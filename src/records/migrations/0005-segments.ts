import { sql, type Kysely } from 'kysely';

/** What of a session on Temporal is in the archive, and the digests of it. */
export async function segments(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('log_heads').addColumn('next_run', 'text').execute();
  await db.schema
    .createTable('log_segments')
    .addColumn('session_id', 'text', (column) => column.notNull())
    .addColumn('number', 'integer', (column) => column.notNull())
    .addColumn('from_position', 'integer', (column) => column.notNull())
    .addColumn('to_position', 'integer', (column) => column.notNull())
    .addColumn('life', 'integer', (column) => column.notNull())
    .addColumn('run_id', 'text', (column) => column.notNull())
    .addColumn('sha256', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('log_segments_pk', ['session_id', 'number'])
    .execute();
  await sql`drop index log_heads_moving`.execute(db);
  await sql`create index log_heads_moving on log_heads (session_id) where place in ('leaving', 'sealed', 'coming', 'reviving')`.execute(
    db,
  );
}
