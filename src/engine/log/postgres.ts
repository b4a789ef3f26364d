/**
 * The log in Postgres. Each write is one statement, and so one round trip and one commit; it announces itself, by
 * NOTIFY, when and only when it is committed. Whether a harness is silent is judged by the database's own clock.
 */
import { randomUUID } from 'node:crypto';
import type { Row, Statement, Statements } from '../../postgres/statements.ts';
import { isUniqueViolation } from '../../records/dialect.ts';
import { createPostgresMoves, INSERT, notify, records, toRecords } from './postgres-moves.ts';
import { createPostgresSegments } from './postgres-segments.ts';
import { toCarrier, toDue, toHead } from './rows.ts';
import { ASKED, birthOf, HEAD, HERE, NOTHING, sealedIf, WORKING } from './sql.ts';
import { extentOf, FORGOTTEN_AFTER_MS, keyOf, SILENT_AFTER_MS, stateAfter, type LogStore } from './store.ts';

/** Makes the store on a database whose schema is up to date. `origin` names this process among the announcers. */
export function createPostgresLogStore({ run, close }: Statements, origin: string): LogStore {
  const one = async (statement: Statement, values: readonly unknown[]): Promise<Row | undefined> =>
    (await run(statement, values))[0];
  const note = (id: string): string => `${origin} ${id}`;

  return {
    ...createPostgresMoves(run, note),
    ...createPostgresSegments(run),
    async create(id, carriers, due, place = 'here') {
      const { length, lastUs, state } = extentOf(carriers);
      const { logId, lives, nextRun } = birthOf(place, randomUUID());
      const head = [id, length, lastUs, due ? ASKED : NOTHING, place, lives, nextRun, state];
      await run(SQL.create, [...head, toRecords(carriers), note(id), logId]);
    },
    async head(id) {
      const row = await one(SQL.head, [id]);
      return row && toHead(row);
    },
    read: async (id, position, limit) => (await run(SQL.read, [id, position, limit])).map(toCarrier),
    readAt: async (id, positions) => (await run(SQL.readAt, [id, JSON.stringify(positions)])).map(toCarrier),
    async appendClient(id, drafts, nowUs) {
      const state = stateAfter(drafts);
      const values = [id, keyOf(drafts), drafts.length, nowUs, state, JSON.stringify(drafts), note(id)];
      try {
        const row = await one(SQL.appendClient, values);
        return row?.['known'] === true || row?.['moved'] === true;
      } catch (error) {
        // The same batch twice at the same moment: the other one has written it.
        if (isUniqueViolation(error)) return true;
        throw error;
      }
    },
    touch: async (id) => (await one(SQL.touch, [id, note(id)])) !== undefined,
    async startClosing(id) {
      await run(SQL.startClosing, [id, note(id)]);
    },
    async claim(id, holder) {
      const row = await one(SQL.claim, [id, holder]);
      return row && { sessionId: id, holder, epoch: Number(row['epoch']), head: toHead(row) };
    },
    async append({ sessionId: id, epoch }, { expected, drafts, nowUs, working }) {
      const count = drafts.length;
      const due = working ? WORKING : NOTHING;
      if (count === 0) {
        const row = await one(SQL.mark, [id, epoch, expected, due]);
        if (row) return { ok: undefined };
      } else {
        const state = stateAfter(drafts);
        const text = JSON.stringify(drafts);
        const row = await one(SQL.append, [id, epoch, expected, count, nowUs, due, state, text, note(id)]);
        if (row) {
          const timeUs = Number(row['last_us']) - count + 1;
          return { ok: { position: expected, timeUs, author: 'server', drafts } };
        }
      }
      const head = await one(SQL.head, [id]);
      return { refused: head?.['epoch'] === epoch ? 'changed' : 'fenced' };
    },
    async release({ sessionId: id, epoch }, { length, due, lost }) {
      const values = [id, epoch, length, due ? ASKED : NOTHING, Number(lost), note(id)];
      return (await one(SQL.release, values)) !== undefined;
    },
    async beat(holder) {
      await run(SQL.beat, [holder]);
    },
    async leave(holder) {
      await run(SQL.leave, [holder]);
    },
    due: async (holder, limit) => (await run(SQL.due, [holder, limit])).map(toDue),
    async remove(id) {
      await run(SQL.remove, [id, note(id)]);
    },
    async check() {
      await run(SQL.check, []);
    },
    close,
  };
}

const NOW_MS = '(extract(epoch from clock_timestamp()) * 1000)::bigint';
const FREE = `(holder is null or not exists (select 1 from harnesses where harnesses.id = log_heads.holder and beat_ms > ${NOW_MS} - ${SILENT_AFTER_MS}))`;

const SQL = {
  check: named('check', 'select 1'),
  head: named('head', `select ${HEAD} from log_heads where session_id = $1`),
  read: named(
    'read',
    'select position, time_us, author, drafts from log_carriers where session_id = $1 and position >= $2 order by position limit $3',
  ),
  readAt: named(
    'read_at',
    `select position, time_us, author, drafts from log_carriers where session_id = $1 and position in (
       select (select max(position) from log_carriers where session_id = $1 and position <= wanted.value::integer)
       from json_array_elements_text($2::json) as wanted) order by position`,
  ),
  create: named(
    'create',
    `with head as (
       insert into log_heads (session_id, length, last_us, state, epoch, holder, losses, due, place, lives, next_run, log_id)
       values ($1, $2, $3, $8, 0, null, 0, $4, $5, $6, $7, $11) on conflict do nothing returning session_id),
     put as (
       ${INSERT} select session_id, position, time_us, author, event_key, drafts
       from head, ${records('$9')})
     select ${notify('$10')} from head`,
  ),
  appendClient: named(
    'append_client',
    `with known as (select 1 from log_carriers where session_id = $1 and event_key = $2),
     head as (
       update log_heads set length = length + $3::integer, last_us = greatest($4::bigint, last_us + 1) + $3::integer - 1,
         state = $5, due = greatest(due, ${ASKED})
       where session_id = $1 and state = 'open' and ${HERE} and not exists (select from known) returning length, last_us),
     put as (
       ${INSERT} select $1, length - $3::integer, last_us - $3::integer + 1, 'client', $2, $6 from head),
     told as (select ${notify('$7')} from head)
     select exists (select from known) as known, exists (select from told) as moved`,
  ),
  touch: named(
    'touch',
    `with head as (
       update log_heads set due = greatest(due, ${ASKED}) where session_id = $1 and state = 'open' and ${HERE} returning 1)
     select ${notify('$2')} from head`,
  ),
  startClosing: named(
    'start_closing',
    `with head as (
       update log_heads set due = case when ${HERE} then greatest(due, ${ASKED}) else due end, state = 'closing' where session_id = $1 returning 1)
     select ${notify('$2')} from head`,
  ),
  claim: named(
    'claim',
    `update log_heads set epoch = epoch + 1, holder = $2,
       losses = losses + (case when holder is not null and holder <> $2 and due = ${WORKING} then 1 else 0 end)
     where session_id = $1 and ${HERE} and (holder = $2 or ${FREE}) returning ${HEAD}`,
  ),
  mark: named(
    'mark',
    'update log_heads set due = $4 where session_id = $1 and epoch = $2 and length = $3 returning 1',
  ),
  append: named(
    'append',
    `with head as (
       update log_heads set length = length + $4::integer, last_us = greatest($5::bigint, last_us + 1) + $4::integer - 1,
         due = $6, state = $7, losses = 0
       where session_id = $1 and epoch = $2 and length = $3 and state = 'open' returning last_us),
     put as (
       ${INSERT} select $1, $3, last_us - $4::integer + 1, 'server', null, $8 from head),
     told as (select ${notify('$9')} from head)
     select last_us from head, told`,
  ),
  release: named(
    'release',
    `with head as (
       update log_heads set holder = null, due = $4, losses = losses + $5,
         ${sealedIf(`place = 'leaving' and state = 'open' and $4 = ${NOTHING}`)}
       where session_id = $1 and epoch = $2 and (length = $3 or $4 > ${NOTHING}) returning 1)
     select ${notify('$6')} from head`,
  ),
  beat: named(
    'beat',
    `insert into harnesses (id, beat_ms) values ($1, ${NOW_MS}) on conflict (id) do update set beat_ms = excluded.beat_ms`,
  ),
  leave: named('leave', `delete from harnesses where id = $1 or beat_ms < ${NOW_MS} - ${FORGOTTEN_AFTER_MS}`),
  due: named(
    'due',
    `select session_id, length from log_heads
     where due > ${NOTHING} and (holder = $1 or ${FREE}) order by session_id limit $2`,
  ),
  remove: named(
    'remove',
    `with carriers as (delete from log_carriers where session_id = $1),
     segments as (delete from log_segments where session_id = $1),
     head as (delete from log_heads where session_id = $1)
     select ${notify('$2')}`,
  ),
};

function named(name: string, text: string): Statement {
  return { name: `log_${name}`, text };
}
