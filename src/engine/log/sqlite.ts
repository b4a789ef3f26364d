/**
 * The log in SQLite. Statements are prepared once. Writes that are asked for within one turn of the event loop share a
 * transaction, and so one sync to disk: a session alone waits for nobody, and many at once do not wait for each other.
 */
import { randomUUID } from 'node:crypto';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Author, Draft } from '../../log.ts';
import { isBusy, whenNotBusy } from '../../records/node-sqlite.ts';
import { toCarrier, toDue, toHead, type Row } from './rows.ts';
import { ASKED, birthOf, HEAD, HERE, NOTHING, sealedIf, WORKING } from './sql.ts';
import { createSqliteMoves } from './sqlite-moves.ts';
import { createSqliteSegments } from './sqlite-segments.ts';
import {
  extentOf,
  FORGOTTEN_AFTER_MS,
  keyOf,
  SILENT_AFTER_MS,
  stateAfter,
  type CarrierRow,
  type Head,
  type LogStore,
} from './store.ts';

const TURNS_FOR_OTHERS = 50;

/** What follows from one queued write. */
interface Job {
  readonly run: () => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Opens the store on a database file whose schema is up to date. `now`: the clock, in milliseconds. */
export function openSqliteLogStore(path: string, now: () => number = Date.now): LogStore {
  const database = new DatabaseSync(path, { timeout: 0, enableForeignKeyConstraints: false });
  database.exec('pragma synchronous = full');
  const sql = prepare(database);
  const write = createWriter(database);
  const since = (): number => now() - SILENT_AFTER_MS;
  const headOf = (id: string): Head | undefined => {
    const row = sql.head.get({ id }) as Row | undefined;
    return row && toHead(row);
  };
  const insert = (id: string, { position, timeUs, author, drafts }: CarrierRow): void => {
    const key = author === 'client' ? keyOf(drafts) : null;
    sql.insert.run({ id, position, timeUs, author, key, drafts: JSON.stringify(drafts) });
  };
  /** Moves the head on and writes the carrier that this makes room for. */
  const put = (id: string, moved: Row, author: Author, drafts: readonly Draft[]): CarrierRow => {
    const row: CarrierRow = {
      position: Number(moved['length']) - drafts.length,
      timeUs: Number(moved['last_us']) - drafts.length + 1,
      author,
      drafts,
    };
    insert(id, row);
    return row;
  };

  return {
    ...createSqliteMoves(database, { write, insert }),
    ...createSqliteSegments(database, write),
    create: (id, carriers, due, place = 'here') =>
      write(() => {
        if (headOf(id)) return;
        const { length, lastUs, state } = extentOf(carriers);
        sql.create.run({ id, length, lastUs, state, due: Number(due), ...birthOf(place, randomUUID()) });
        for (const carrier of carriers) insert(id, carrier);
      }),
    head: (id) => whenNotBusy(() => headOf(id)),
    read: (id, position, limit) =>
      whenNotBusy(() => sql.read.all({ id, position, limit }).map((row) => toCarrier(row))),
    readAt: (id, positions) =>
      whenNotBusy(() =>
        sql.readAt.all({ id, positions: JSON.stringify(positions) }).map((row) => toCarrier(row)),
      ),
    appendClient: (id, drafts, nowUs) =>
      write(() => {
        if (sql.known.get({ id, key: keyOf(drafts) })) return true;
        const change = { id, count: drafts.length, nowUs, state: stateAfter(drafts) };
        const moved = sql.extend.get(change) as Row | undefined;
        if (!moved) return false;
        put(id, moved, 'client', drafts);
        return true;
      }),
    touch: (id) => write(() => Number(sql.touch.run({ id }).changes) > 0),
    startClosing: (id) => write(() => void sql.startClosing.run({ id })),
    claim: (id, holder) =>
      write(() => {
        const row = sql.claim.get({ id, holder, since: since() }) as Row | undefined;
        return row && { sessionId: id, holder, epoch: Number(row['epoch']), head: toHead(row) };
      }),
    append: ({ sessionId: id, epoch }, { expected, drafts, nowUs, working }) =>
      write(() => {
        const count = drafts.length;
        const state = stateAfter(drafts);
        const due = working ? WORKING : NOTHING;
        const moved = sql.append.get({ id, epoch, expected, count, nowUs, due, state }) as Row | undefined;
        if (!moved) return { refused: headOf(id)?.epoch === epoch ? 'changed' : 'fenced' } as const;
        return { ok: count > 0 ? put(id, moved, 'server', drafts) : undefined };
      }),
    release: ({ sessionId: id, epoch }, { length, due, lost }) =>
      write(() => {
        const change = { id, epoch, length, due: Number(due), lost: Number(lost) };
        return Number(sql.release.run(change).changes) > 0;
      }),
    beat: (holder) => write(() => void sql.beat.run({ holder, now: now() })),
    leave: (holder) => write(() => void sql.leave.run({ holder, since: now() - FORGOTTEN_AFTER_MS })),
    due: (holder, limit) =>
      whenNotBusy(() => sql.due.all({ holder, since: since(), limit }).map((row) => toDue(row))),
    remove: (id) =>
      write(() => {
        sql.removeCarriers.run({ id });
        sql.removeSegments.run({ id });
        sql.removeHead.run({ id });
      }),
    check: async () => void sql.check.get(),
    close: async () => {
      await write(() => undefined);
      database.close();
    },
  };
}

/**
 * Another process holds the file for as long as one sync to disk takes: turns of the event loop are spent first, then
 * `whenNotBusy` waits properly.
 */
async function whenFree(action: () => void): Promise<void> {
  for (let turns = 0; turns < TURNS_FOR_OTHERS; turns += 1) {
    try {
      return action();
    } catch (error) {
      if (!isBusy(error)) throw error;
    }
    await nextTurn();
  }
  await whenNotBusy(action);
}

/** Runs queued writes together. One that throws is run again alone, so that it fails alone. */
function createWriter(database: DatabaseSync): <T>(run: () => T) => Promise<T> {
  let queue: Job[] = [];
  let flushing: Promise<void> | undefined;

  async function flush(): Promise<void> {
    await nextTurn();
    while (queue.length > 0) {
      const jobs = queue;
      queue = [];
      try {
        const values = await transact(jobs.map(({ run }) => run));
        jobs.forEach(({ resolve }, index) => resolve(values[index]));
      } catch (error) {
        if (jobs.length === 1) jobs[0]?.reject(error);
        else await oneByOne(jobs);
      }
    }
    flushing = undefined;
  }

  async function oneByOne(jobs: readonly Job[]): Promise<void> {
    for (const { run, resolve, reject } of jobs) {
      await transact([run]).then(([value]) => resolve(value), reject);
    }
  }

  async function transact(runs: readonly (() => unknown)[]): Promise<unknown[]> {
    await whenFree(() => database.exec('begin immediate'));
    try {
      const values = runs.map((run) => run());
      await whenFree(() => database.exec('commit'));
      return values;
    } catch (error) {
      if (database.isTransaction) database.exec('rollback');
      throw error;
    }
  }

  return <T>(run: () => T) =>
    new Promise<T>((resolve, reject) => {
      queue.push({ run, resolve: (value) => resolve(value as T), reject });
      flushing ??= flush();
    });
}

const FREE = `(holder is null or not exists (select 1 from harnesses where harnesses.id = log_heads.holder and beat_ms > :since))`;

function prepare(database: DatabaseSync) {
  const statement = (text: string): StatementSync => database.prepare(text);
  return {
    check: statement('select 1'),
    head: statement(`select ${HEAD} from log_heads where session_id = :id`),
    read: statement(
      'select position, time_us, author, drafts from log_carriers where session_id = :id and position >= :position order by position limit :limit',
    ),
    readAt: statement(
      `select position, time_us, author, drafts from log_carriers where session_id = :id and position in (
        select (select max(position) from log_carriers where session_id = :id and position <= wanted.value)
        from json_each(:positions) as wanted) order by position`,
    ),
    create: statement(
      `insert into log_heads (session_id, length, last_us, state, epoch, holder, losses, due, place, lives, next_run, log_id) values (:id, :length, :lastUs, :state, 0, null, 0, :due, :place, :lives, :nextRun, :logId)`,
    ),
    insert: statement(
      'insert into log_carriers (session_id, position, time_us, author, event_key, drafts) values (:id, :position, :timeUs, :author, :key, :drafts)',
    ),
    known: statement('select 1 from log_carriers where session_id = :id and event_key = :key'),
    extend: statement(
      `update log_heads set length = length + :count, last_us = max(:nowUs, last_us + 1) + :count - 1, state = :state, due = max(due, ${ASKED}) where session_id = :id and state = 'open' and ${HERE} returning length, last_us`,
    ),
    touch: statement(
      `update log_heads set due = max(due, ${ASKED}) where session_id = :id and state = 'open' and ${HERE}`,
    ),
    startClosing: statement(
      `update log_heads set due = case when ${HERE} then max(due, ${ASKED}) else due end, state = 'closing' where session_id = :id`,
    ),
    claim: statement(
      `update log_heads set epoch = epoch + 1, losses = losses + (holder is not null and holder <> :holder and due = ${WORKING}), holder = :holder where session_id = :id and ${HERE} and (holder = :holder or ${FREE}) returning ${HEAD}`,
    ),
    append: statement(
      `update log_heads set length = length + :count, last_us = case when :count > 0 then max(:nowUs, last_us + 1) + :count - 1 else last_us end, state = case when state = 'open' then :state else state end, due = :due, losses = case when :count > 0 then 0 else losses end where session_id = :id and epoch = :epoch and length = :expected and (state = 'open' or :count = 0) returning length, last_us`,
    ),
    release: statement(
      `update log_heads set holder = null, due = :due, losses = losses + :lost, ${sealedIf(`place = 'leaving' and state = 'open' and :due = ${NOTHING}`)} where session_id = :id and epoch = :epoch and (length = :length or :due > 0)`,
    ),
    beat: statement(
      'insert into harnesses (id, beat_ms) values (:holder, :now) on conflict (id) do update set beat_ms = :now',
    ),
    leave: statement('delete from harnesses where id = :holder or beat_ms < :since'),
    due: statement(
      `select session_id, length from log_heads where due > ${NOTHING} and (holder = :holder or ${FREE}) order by session_id limit :limit`,
    ),
    removeCarriers: statement('delete from log_carriers where session_id = :id'),
    removeSegments: statement('delete from log_segments where session_id = :id'),
    removeHead: statement('delete from log_heads where session_id = :id'),
  };
}
