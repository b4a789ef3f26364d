import type { Kysely } from 'kysely';
import type { Blobs } from '../blobs.ts';
import type { Tables } from '../records/schema.ts';
import { requireBytes, requireSessionId, toContent, toText, type Content } from './content.ts';

/** In one statement. */
const MOST_NAMES = 5000;
const MOST_ROWS = 500;

/** Blobs as rows, where processes on any machine find them. */
export function createSqlBlobs(db: Kysely<Tables>): Blobs {
  const putAll = async (sessionId: string, contents: readonly Content[]): Promise<void> => {
    requireSessionId(sessionId);
    const rows = contents.map(({ bytes, ref }) => ({
      session_id: sessionId,
      sha256: ref.sha256,
      data: bytes,
    }));
    for (const some of inPieces(rows, MOST_ROWS)) {
      await db
        .insertInto('blobs')
        .values(some)
        .onConflict((same) => same.columns(['session_id', 'sha256']).doNothing())
        .execute();
    }
  };
  const read = async (sessionId: string, sha256: string): Promise<Uint8Array | undefined> => {
    requireSessionId(sessionId);
    const row = await db
      .selectFrom('blobs')
      .select('data')
      .where('session_id', '=', sessionId)
      .where('sha256', '=', sha256)
      .executeTakeFirst();
    return row?.data;
  };

  return {
    async put(sessionId, text) {
      const content = toContent(text);
      await putAll(sessionId, [content]);
      return content.ref;
    },
    get: async (sessionId, ref) => toText(sessionId, ref, await read(sessionId, ref.sha256)),
    putBytes: (sessionId, contents) => putAll(sessionId, contents.map(toContent)),
    getBytes: async (sessionId, sha256) => requireBytes(sessionId, sha256, await read(sessionId, sha256)),
    async has(sessionId, sha256s) {
      requireSessionId(sessionId);
      const there = new Set<string>();
      for (const names of inPieces(sha256s, MOST_NAMES)) {
        const rows = await db
          .selectFrom('blobs')
          .select('sha256')
          .where('session_id', '=', sessionId)
          .where('sha256', 'in', names)
          .execute();
        for (const { sha256 } of rows) there.add(sha256);
      }
      return there;
    },
    async copy(fromId, toId, sha256s) {
      requireSessionId(fromId);
      requireSessionId(toId);
      for (const names of inPieces(sha256s, MOST_NAMES)) {
        await db
          .insertInto('blobs')
          .columns(['session_id', 'sha256', 'data'])
          .expression((from) =>
            from
              .selectFrom('blobs')
              .select(({ val }) => [val(toId).as('session_id'), 'sha256', 'data'])
              .where('session_id', '=', fromId)
              .where('sha256', 'in', names),
          )
          .onConflict((same) => same.columns(['session_id', 'sha256']).doNothing())
          .execute();
      }
    },
    async removeAll(sessionId) {
      requireSessionId(sessionId);
      await db.deleteFrom('blobs').where('session_id', '=', sessionId).execute();
    },
  };
}

function inPieces<T>(items: readonly T[], length: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / length) }, (_, at) =>
    items.slice(at * length, (at + 1) * length),
  );
}
