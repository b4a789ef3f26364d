/** kysely on Node's own SQLite: one connection, its transactions one after another. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import {
  CompiledQuery,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type DatabaseConnection,
  type Dialect,
  type Driver,
} from 'kysely';
import { LRUCache } from 'lru-cache';

/** How long a statement waits for another connection to finish writing. */
const BUSY_DEADLINE_MS = 10_000;

const BUSY_PAUSE_MS = 5;

/** Most requests ask one of a few things. */
const STATEMENTS_KEPT = 100;

const SQLITE_BUSY = 5;

/** The dialect for an open database. Closing the query builder closes the database. */
export function createNodeSqliteDialect(database: DatabaseSync): Dialect {
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => createDriver(database),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

function createDriver(database: DatabaseSync): Driver {
  const connection = createConnection(database);
  const run = async (sql: string) => {
    await connection.executeQuery(CompiledQuery.raw(sql));
  };
  return {
    init: async () => undefined,
    // The adapter says that there is one connection; the builder itself then lets one caller have it at a time.
    acquireConnection: async () => connection,
    releaseConnection: async () => undefined,
    // Taking the write lock at once: a transaction that reads first and locks later fails, instead of waiting, when
    // another process has written in between.
    beginTransaction: () => run('begin immediate'),
    commitTransaction: () => run('commit'),
    rollbackTransaction: async () => {
      // Some failures, such as a full disk, have rolled back already.
      if (database.isTransaction) await run('rollback');
    },
    destroy: async () => database.close(),
  };
}

function createConnection(database: DatabaseSync): DatabaseConnection {
  const statements = new LRUCache<string, StatementSync>({ max: STATEMENTS_KEPT });
  const prepare = (sql: string): StatementSync => {
    const statement = statements.get(sql) ?? database.prepare(sql);
    statements.set(sql, statement);
    return statement;
  };
  // `never`: the builder names the row type of each query, and no check could be made here.
  return {
    executeQuery: ({ sql, parameters }: CompiledQuery) =>
      whenNotBusy(() => {
        const statement = prepare(sql);
        const values = parameters as SQLInputValue[];
        if (statement.columns().length > 0) return { rows: statement.all(...values) as never[] };
        const { changes, lastInsertRowid } = statement.run(...values);
        return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
      }),
    async *streamQuery({ sql, parameters }: CompiledQuery) {
      const rows = database.prepare(sql).iterate(...(parameters as SQLInputValue[]));
      for (const row of rows) yield { rows: [row as never] };
    },
  };
}

/**
 * Repeats a statement for as long as another connection is writing. SQLite's own busy timeout would block the whole
 * process meanwhile: all its streams would stall, and a second connection within it could never finish.
 */
export async function whenNotBusy<T>(action: () => T): Promise<T> {
  const deadline = Date.now() + BUSY_DEADLINE_MS;
  for (;;) {
    try {
      return action();
    } catch (error) {
      if (!isBusy(error) || Date.now() > deadline) throw error;
    }
    await sleep(BUSY_PAUSE_MS);
  }
}

/** Whether a statement failed because another connection is writing. */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === SQLITE_BUSY;
}
