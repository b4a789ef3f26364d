import { sql, type Kysely } from 'kysely';

/** The logs of the log engine: carriers, a head for each session, and the harnesses that are alive. */
export async function sessionLog(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('log_heads')
    .addColumn('session_id', 'text', (column) => column.primaryKey())
    .addColumn('length', 'integer', (column) => column.notNull())
    .addColumn('last_us', 'bigint', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('epoch', 'integer', (column) => column.notNull())
    .addColumn('holder', 'text')
    .addColumn('losses', 'integer', (column) => column.notNull())
    .addColumn('due', 'integer', (column) => column.notNull())
    .execute();
  await sql`create index log_heads_due on log_heads (session_id) where due > 0`.execute(db);
  await db.schema
    .createTable('log_carriers')
    .addColumn('session_id', 'text', (column) => column.notNull())
    .addColumn('position', 'integer', (column) => column.notNull())
    .addColumn('time_us', 'bigint', (column) => column.notNull())
    .addColumn('author', 'text', (column) => column.notNull())
    .addColumn('event_key', 'text')
    .addColumn('drafts', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('log_carriers_pk', ['session_id', 'position'])
    .execute();
  await sql`create unique index log_carriers_key on log_carriers (session_id, event_key) where event_key is not null`.execute(
    db,
  );
  await db.schema
    .createTable('harnesses')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('beat_ms', 'bigint', (column) => column.notNull())
    .execute();
}
