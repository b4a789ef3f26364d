import type { Kysely } from 'kysely';
import type { Blobs } from '../blobs.ts';
import type { Tables } from '../records/schema.ts';
import { requireSessionId, toContent, toText } from './content.ts';

/** Blobs as rows, where processes on any machine find them. */
export function createSqlBlobs(db: Kysely<Tables>): Blobs {
  return {
    async put(sessionId, text) {
      requireSessionId(sessionId);
      const { bytes, ref } = toContent(text);
      await db
        .insertInto('blobs')
        .values({ session_id: sessionId, sha256: ref.sha256, data: bytes })
        .onConflict((same) => same.columns(['session_id', 'sha256']).doNothing())
        .execute();
      return ref;
    },
    async get(sessionId, ref) {
      requireSessionId(sessionId);
      const row = await db
        .selectFrom('blobs')
        .select('data')
        .where('session_id', '=', sessionId)
        .where('sha256', '=', ref.sha256)
        .executeTakeFirst();
      return toText(sessionId, ref, row?.data);
    },
    async removeAll(sessionId) {
      requireSessionId(sessionId);
      await db.deleteFrom('blobs').where('session_id', '=', sessionId).execute();
    },
  };
}
