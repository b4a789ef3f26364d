import { Kysely, PostgresDialect, sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createPool, type PoolOptions } from '../../src/postgres/pool.ts';
import { StorageUnavailableError } from '../../src/storage-error.ts';
import { createPostgresDatabase, hasPostgres, query } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

interface Tables {
  things: { id: number };
}

describe.runIf(hasPostgres)('a pool', () => {
  let url: string;
  let remove: () => Promise<void>;
  const open: Kysely<Tables>[] = [];

  beforeEach(async () => {
    ({ url, remove } = await createPostgresDatabase());
    await query(url, 'create table things (id bigint primary key)');
  });

  afterEach(async () => {
    for (const db of open.splice(0)) await db.destroy();
    await remove();
  });

  function connect(options: Partial<PoolOptions> = {}): Kysely<Tables> {
    const pool = createPool({ url, size: 1, ...options });
    const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
    open.push(db);
    return db;
  }

  const ping = async (db: Kysely<Tables>): Promise<number | undefined> =>
    (await sql<{ one: number }>`select 1 as one`.execute(db)).rows[0]?.one;

  const backends = async (): Promise<number[]> => {
    const rows = await query<{ pid: number }>(
      url,
      `select pid from pg_stat_activity where datname = current_database() and application_name = 'drover'`,
    );
    return rows.map(({ pid }) => pid);
  };

  it('is bounded: who finds it full waits', async () => {
    const db = connect({ size: 3 });
    await Promise.all(Array.from({ length: 20 }, () => sql`select pg_sleep(0.01)`.execute(db)));
    expect(await backends()).toHaveLength(3);
  });

  it('gives numbers for what needs 64 bits', async () => {
    const db = connect();
    await db
      .insertInto('things')
      .values({ id: 2 ** 53 - 1 })
      .execute();
    const found = db
      .selectFrom('things')
      .select(['id', (select) => select.fn.countAll<number>().as('count')]);
    expect(await found.groupBy('id').execute()).toEqual([{ id: 2 ** 53 - 1, count: 1 }]);
  });

  it('tells mistakes from outages', async () => {
    const db = connect();
    const wrong = await sql`select nothing from nowhere`.execute(db).catch((error: unknown) => error);
    expect(wrong).not.toBeInstanceOf(StorageUnavailableError);
    expect(wrong).toMatchObject({ code: '42P01' });
    for (const elsewhere of [
      'postgres://drover:hidden@127.0.0.1:1/x',
      'postgres://drover:hidden@localhost:1/x',
    ]) {
      const missing = await ping(connect({ url: elsewhere })).catch((error: unknown) => error);
      expect(missing).toBeInstanceOf(StorageUnavailableError);
      expect(String(missing)).toContain('ECONNREFUSED');
      expect(String(missing)).not.toContain('hidden');
    }
  });

  it('gives a statement up that takes too long', async () => {
    const db = connect({ limits: { statement_timeout: 50 } });
    await expect(sql`select pg_sleep(20)`.execute(db)).rejects.toThrow(StorageUnavailableError);
    expect(await ping(db)).toBe(1);
  });

  it('survives a connection that is ended, idle or in a transaction', async () => {
    const db = connect({ size: 2 });
    await Promise.all([ping(db), ping(db)]);
    const ended = db.transaction().execute(async (transaction) => {
      await ping(transaction);
      const both = await backends();
      expect(both).toHaveLength(2);
      await query(url, `select pg_terminate_backend(pid) from unnest(array[${both.join()}]) as t (pid)`);
      await eventually(async () => expect(await backends()).toEqual([]));
      await ping(transaction);
    });
    await expect(ended).rejects.toThrow(StorageUnavailableError);
    expect(await ping(db)).toBe(1);
  });

  it('gives a server up that does not answer, and that connection with it', async () => {
    const db = connect({ limits: { query_timeout: 300 } });
    await ping(db);
    const [stopped = 0] = await backends();
    process.kill(stopped, 'SIGSTOP');
    try {
      await expect(ping(db)).rejects.toThrow(StorageUnavailableError);
      await expect(eventually(() => ping(db))).resolves.toBe(1);
      expect(await backends()).toContain(stopped);
    } finally {
      process.kill(stopped, 'SIGCONT');
    }
  });

  it('takes the locks of a process that stands still in a transaction', async () => {
    const still = connect({ limits: { idle_in_transaction_session_timeout: 100 } });
    const other = connect();
    await other.insertInto('things').values({ id: 1 }).execute();
    const [locked, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const holding = still.transaction().execute(async (transaction) => {
      await transaction.selectFrom('things').selectAll().forUpdate().execute();
      locked.resolve();
      await released.promise;
    });
    const held = holding.catch((error: unknown) => error);
    await locked.promise;
    await other.deleteFrom('things').execute();
    released.resolve();
    expect(await held).toBeInstanceOf(StorageUnavailableError);
  });
});
