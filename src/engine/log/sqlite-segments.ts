/** The log in SQLite: segments of what is written here. */
import type { DatabaseSync } from 'node:sqlite';
import { whenNotBusy } from '../../records/node-sqlite.ts';
import { toSegment, toUnsealed } from './rows.ts';
import { NO_RUN, SEALABLE, UNSEALED } from './sql.ts';
import type { SqliteWrites } from './sqlite-moves.ts';
import type { SegmentStore } from './store.ts';

/** Makes that part of the store. */
export function createSqliteSegments(database: DatabaseSync, write: SqliteWrites['write']): SegmentStore {
  const sql = prepare(database);
  return {
    sealOwn: (id, { number, from, to, life, sha256, logId }) =>
      write(() => {
        if (Number(sql.cover.run({ id, from, to, logId }).changes) === 0) return false;
        sql.add.run({ id, number, from, to, life, sha256 });
        return true;
      }),
    segments: (id) => whenNotBusy(() => sql.segments.all({ id }).map((row) => toSegment(row))),
    unsealed: ({ after, among, entries }) =>
      whenNotBusy(() => toUnsealed(sql.unsealed.all({ after, among, entries }))),
  };
}

function prepare(database: DatabaseSync) {
  return {
    cover: database.prepare(
      `update log_heads set sealed = :to where session_id = :id and ${SEALABLE} and sealed = :from and length >= :to and log_id is :logId`,
    ),
    add: database.prepare(
      `insert into log_segments (session_id, number, from_position, to_position, life, run_id, sha256) values (:id, :number, :from, :to, :life, '${NO_RUN}', :sha256)`,
    ),
    segments: database.prepare('select * from log_segments where session_id = :id order by number'),
    unsealed: database.prepare(UNSEALED({ after: ':after', among: ':among', entries: ':entries' })),
  };
}
