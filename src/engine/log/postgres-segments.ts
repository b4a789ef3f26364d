/** The log in Postgres: segments of what is written here. */
import type { Statement, Statements } from '../../postgres/statements.ts';
import { toSegment, toUnsealed } from './rows.ts';
import { NO_RUN, SEALABLE, UNSEALED } from './sql.ts';
import type { SegmentStore } from './store.ts';

/** Makes that part of the store. */
export function createPostgresSegments(run: Statements['run']): SegmentStore {
  return {
    async sealOwn(id, { number, from, to, life, sha256, logId }) {
      return (await run(SQL.sealOwn, [id, number, from, to, life, sha256, logId])).length > 0;
    },
    segments: async (id) => (await run(SQL.segments, [id])).map(toSegment),
    unsealed: async ({ after, among, entries }) =>
      toUnsealed(await run(SQL.unsealed, [after, among, entries])),
  };
}

const SQL = {
  sealOwn: named(
    'seal_own',
    `with head as (
       update log_heads set sealed = $4 where session_id = $1 and ${SEALABLE} and sealed = $3 and length >= $4
         and log_id is not distinct from $7 returning session_id)
     insert into log_segments (session_id, number, from_position, to_position, life, run_id, sha256)
     select session_id, $2::integer, $3, $4, $5::integer, '${NO_RUN}', $6 from head returning number`,
  ),
  segments: named('segments', 'select * from log_segments where session_id = $1 order by number'),
  unsealed: named('unsealed', UNSEALED({ after: '$1', among: '$2', entries: '$3' })),
};

function named(name: string, text: string): Statement {
  return { name: `log_${name}`, text };
}
