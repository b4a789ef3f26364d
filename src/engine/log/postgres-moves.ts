/** The log in Postgres: how sessions leave it and come to it. */
import { LOG_CHANNEL } from '../../bus.ts';
import type { Statement, Statements } from '../../postgres/statements.ts';
import { ASKED, HERE, NOTHING, sealedIf } from './sql.ts';
import { extentOf, keyOf, type CarrierRow, type MoveStore } from './store.ts';

/** The beginning of a statement that writes carriers. */
export const INSERT = 'insert into log_carriers (session_id, position, time_us, author, event_key, drafts)';

/** The expression that announces what the parameter says, once the statement is committed. */
export function notify(parameter: string): string {
  return `pg_notify('${LOG_CHANNEL}', ${parameter})`;
}

/** The rows that a parameter holds, as `toRecords` writes them. */
export function records(parameter: string): string {
  return `jsonb_to_recordset(${parameter}::jsonb) as row (position integer, time_us bigint, author text, event_key text, drafts text)`;
}

/** Carriers as one parameter. */
export function toRecords(carriers: readonly CarrierRow[]): string {
  const rows = carriers.map(({ position, timeUs, author, drafts }) => ({
    position,
    time_us: timeUs,
    author,
    event_key: author === 'client' ? keyOf(drafts) : null,
    drafts: JSON.stringify(drafts),
  }));
  return JSON.stringify(rows);
}

/** Makes that part of the store. `note`: what is announced of a session. */
export function createPostgresMoves(run: Statements['run'], note: (id: string) => string): MoveStore {
  return {
    sendAway: async (id) => (await run(SQL.sendAway, [id, note(id)])).length > 0,
    async arrived(id, life) {
      await run(SQL.arrived, [id, life, note(id)]);
    },
    async expect(id) {
      await run(SQL.expect, [id, note(id)]);
    },
    async adopt(id, life, carriers) {
      const { from, length, lastUs, state } = extentOf(carriers);
      await run(SQL.adopt, [id, life, from, length, lastUs, state, toRecords(carriers), note(id)]);
    },
    async seal(id, { number, from, to, base, runId, sha256, life, after, nextRun, carriers }) {
      const { lastUs, state } = extentOf(carriers);
      const rows = toRecords(carriers);
      const head = [id, life, after, nextRun, base, to, lastUs, state];
      const segment = [number, from, runId, sha256, rows, note(id)];
      return (await run(SQL.seal, [...head, ...segment])).length > 0;
    },
    async revive(id, life) {
      await run(SQL.revive, [id, life, note(id)]);
    },
    async reborn(id, life) {
      await run(SQL.reborn, [id, life, note(id)]);
    },
    moving: async (limit) => (await run(SQL.moving, [limit])).map((row) => String(row['session_id'])),
  };
}

const SQL = {
  sendAway: named(
    'send_away',
    `with head as (
       update log_heads set holder = case when due = ${NOTHING} then null else holder end,
         ${sealedIf(`due = ${NOTHING}`, `'leaving'`)}
       where session_id = $1 and state = 'open' and ${HERE} and (place = 'here' or due = ${NOTHING}) returning 1)
     select ${notify('$2')} from head`,
  ),
  arrived: named(
    'arrived',
    `with head as (
       update log_heads set place = 'away' where session_id = $1 and lives = $2 and place = 'sealed' returning 1)
     select ${notify('$3')} from head`,
  ),
  expect: named(
    'expect',
    `with head as (
       insert into log_heads (session_id, length, last_us, state, epoch, holder, losses, due, place, lives)
       values ($1, 0, 0, 'open', 0, null, 0, ${NOTHING}, 'coming', 1)
       on conflict (session_id) do update set place = 'coming'
       where log_heads.place = 'away' and log_heads.state = 'open' returning 1)
     select ${notify('$2')} from head`,
  ),
  adopt: named(
    'adopt',
    `with head as (
       update log_heads set length = greatest(length, $4), last_us = greatest(last_us, $5::bigint), state = $6,
         place = 'here', epoch = epoch + 1, losses = 0, due = ${ASKED}
       where session_id = $1 and lives = $2 and place = 'coming' and state = 'open'
         and ($3::integer is null or length = $3::integer) returning session_id),
     put as (
       ${INSERT} select session_id, position, time_us, author, event_key, drafts from head, ${records('$7')})
     select ${notify('$8')} from head`,
  ),
  // The first run of a session makes its head. Its record is locked, so that no deletion begins meanwhile.
  seal: named(
    'seal',
    `with kept as (select 1 from sessions where id = $1 and state <> 'deleting' for share),
     known as (select 1 from log_heads where session_id = $1),
     head as (
       insert into log_heads (session_id, length, last_us, state, epoch, holder, losses, due, place, lives, next_run, sealed)
       select $1, $6, $7, $8, 0, null, 0, ${NOTHING}, 'away', 1, $4, $6
       where exists (select from known)
         or ($2::integer = 1 and $5::integer = 0 and $3::text is null and exists (select from kept))
       on conflict (session_id) do update set length = excluded.length,
         last_us = greatest(log_heads.last_us, excluded.last_us), state = excluded.state, next_run = excluded.next_run,
         sealed = excluded.sealed
       where log_heads.place in ('away', 'reviving') and log_heads.lives = $2::integer
         and log_heads.length = $5::integer and log_heads.sealed = $10::integer
         and log_heads.next_run is not distinct from $3::text
         and log_heads.state = 'open' returning session_id),
     segment as (
       insert into log_segments (session_id, number, from_position, to_position, life, run_id, sha256)
       select session_id, $9::integer, $10::integer, $6::integer, $2::integer, $11, $12 from head),
     put as (
       ${INSERT} select session_id, position, time_us, author, event_key, drafts from head, ${records('$13')})
     select ${notify('$14')} from head`,
  ),
  revive: named(
    'revive',
    `with kept as (select 1 from sessions where id = $1 and state <> 'deleting' for share),
     known as (select 1 from log_heads where session_id = $1),
     head as (
       insert into log_heads (session_id, length, last_us, state, epoch, holder, losses, due, place, lives)
       select $1, 0, 0, 'open', 0, null, 0, ${NOTHING}, 'reviving', 1
       where exists (select from known) or ($2::integer = 1 and exists (select from kept))
       on conflict (session_id) do update set place = 'reviving'
       where log_heads.place = 'away' and log_heads.lives = $2::integer and log_heads.state = 'open' returning 1)
     select ${notify('$3')} from head`,
  ),
  reborn: named(
    'reborn',
    `with head as (
       update log_heads set ${sealedIf('true')}
       where session_id = $1 and place = 'reviving' and lives = $2 and state = 'open' returning 1)
     select ${notify('$3')} from head`,
  ),
  moving: named(
    'moving',
    `select session_id from log_heads
     where place in ('leaving', 'sealed', 'coming', 'reviving') and state = 'open' order by session_id limit $1`,
  ),
};

function named(name: string, text: string): Statement {
  return { name: `log_${name}`, text };
}
