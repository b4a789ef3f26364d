/** The log in SQLite: how sessions leave it and come to it. */
import type { DatabaseSync } from 'node:sqlite';
import { whenNotBusy } from '../../records/node-sqlite.ts';
import { ASKED, HERE, NOTHING, sealedIf } from './sql.ts';
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
    moving: database.prepare(
      `select session_id from log_heads where place in ('leaving', 'sealed', 'coming') and state = 'open' order by session_id limit :limit`,
    ),
  };
}
