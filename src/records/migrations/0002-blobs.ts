import type { Kysely } from 'kysely';
import { bytesType, textType } from '../dialect.ts';

/** Content too heavy for a carrier, where blobs are not in a folder. */
export async function blobs(db: Kysely<unknown>): Promise<void> {
  const text = textType(db);
  await db.schema
    .createTable('blobs')
    .addColumn('session_id', text, (column) => column.notNull())
    .addColumn('sha256', text, (column) => column.notNull())
    .addColumn('data', bytesType(db), (column) => column.notNull())
    .addPrimaryKeyConstraint('blobs_pk', ['session_id', 'sha256'])
    .execute();
}
