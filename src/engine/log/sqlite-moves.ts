/** The log in SQLite: how sessions leave it and come to it. */
import type { DatabaseSync } from 'node:sqlite';
import { whenNotBusy } from '../../records/node-sqlite.ts';
import { ASKED, HERE, KEPT, NOTHING, sealedIf } from './sql.ts';
import { extentOf, type CarrierRow, type MoveStore } from './store.ts';

/** What it shares with the rest of the store. */
export interface SqliteWrites {
  write<T>(run: () => T): Promise<T>;
  insert(id: string, carrier: CarrierRow): void;
}

/** Makes that part of the store. */
export function createSqliteMoves(database: DatabaseSync, { write, insert }: SqliteWrites): MoveStore {
  const sql = prepare(database);
  return {
    sendAway: (id) => write(() => Number(sql.sendAway.run({ id }).changes) > 0),
    arrived: (id, life) => write(() => void sql.arrived.run({ id, life })),
    expect: (id) => write(() => void sql.expect.run({ id })),
    adopt: (id, life, carriers) =>
      write(() => {
        const { changes } = sql.adopt.run({ id, life, ...extentOf(carriers) });
        if (Number(changes) === 0) return;
        for (const carrier of carriers) insert(id, carrier);
      }),
    seal: (id, { carriers, ...segment }) =>
      write(() => {
        const { number, from, to, base, runId, sha256, life, after, nextRun } = segment;
        const { lastUs, state } = extentOf(carriers);
        const change = { id, life, after, nextRun, base, from, to, lastUs, state };
        if (Number(sql.seal.run(change).changes) === 0) return false;
        for (const carrier of carriers) insert(id, carrier);
        sql.addSegment.run({ id, number, from, to, life, runId, sha256 });
        return true;
      }),
    revive: (id, life) => write(() => void sql.revive.run({ id, life })),
    reborn: (id, life) => write(() => void sql.reborn.run({ id, life })),
    moving: (limit) => whenNotBusy(() => sql.moving.all({ limit }).map((row) => String(row['session_id']))),
  };
}

function prepare(database: DatabaseSync) {
  return {
    sendAway: database.prepare(
      `update log_heads set holder = case when due = ${NOTHING} then null else holder end, ${sealedIf(`due = ${NOTHING}`, `'leaving'`)} where session_id = :id and state = 'open' and ${HERE} and (place = 'here' or due = ${NOTHING})`,
    ),
    arrived: database.prepare(
      `update log_heads set place = 'away' where session_id = :id and lives = :life and place = 'sealed'`,
    ),
    expect: database.prepare(
      `insert into log_heads (session_id, length, last_us, state, epoch, holder, losses, due, place, lives) values (:id, 0, 0, 'open', 0, null, 0, 0, 'coming', 1) on conflict (session_id) do update set place = 'coming' where log_heads.place = 'away' and log_heads.state = 'open'`,
    ),
    adopt: database.prepare(
      `update log_heads set length = max(length, :length), last_us = max(last_us, :lastUs), state = :state, place = 'here', epoch = epoch + 1, losses = 0, due = ${ASKED} where session_id = :id and lives = :life and place = 'coming' and state = 'open' and (:from is null or length = :from)`,
    ),
    // The first run of a session makes its head; a deletion that has begun is known from its record.
    seal: database.prepare(
      `insert into log_heads (session_id, length, last_us, state, epoch, holder, losses, due, place, lives, next_run, sealed) select :id, :to, :lastUs, :state, 0, null, 0, 0, 'away', 1, :nextRun, :to where exists (select 1 from log_heads where session_id = :id) or (:life = 1 and :base = 0 and :after is null and ${KEPT(':id')}) on conflict (session_id) do update set length = :to, last_us = max(log_heads.last_us, :lastUs), state = :state, next_run = :nextRun, sealed = :to where log_heads.place in ('away', 'reviving') and log_heads.lives = :life and log_heads.length = :base and log_heads.sealed = :from and log_heads.next_run is :after and log_heads.state = 'open'`,
    ),
    addSegment: database.prepare(
      `insert into log_segments (session_id, number, from_position, to_position, life, run_id, sha256) values (:id, :number, :from, :to, :life, :runId, :sha256)`,
    ),
    revive: database.prepare(
      `insert into log_heads (session_id, length, last_us, state, epoch, holder, losses, due, place, lives) select :id, 0, 0, 'open', 0, null, 0, 0, 'reviving', 1 where exists (select 1 from log_heads where session_id = :id) or (:life = 1 and ${KEPT(':id')}) on conflict (session_id) do update set place = 'reviving' where log_heads.place = 'away' and log_heads.lives = :life and log_heads.state = 'open'`,
    ),
    reborn: database.prepare(
      `update log_heads set ${sealedIf('true')} where session_id = :id and place = 'reviving' and lives = :life and state = 'open'`,
    ),
    moving: database.prepare(
      `select session_id from log_heads where place in ('leaving', 'sealed', 'coming', 'reviving') and state = 'open' order by session_id limit :limit`,
    ),
  };
}
