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
  moving: named(
    'moving',
    `select session_id from log_heads
     where place in ('leaving', 'sealed', 'coming') and state = 'open' order by session_id limit $1`,
  ),
};

function named(name: string, text: string): Statement {
  return { name: `log_${name}`, text };
}
