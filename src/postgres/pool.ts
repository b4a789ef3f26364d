/** A bounded pool of connections, as the query builder takes it. One that breaks is replaced at the next query. */
import type { PostgresPool, PostgresPoolClient } from 'kysely';
import { DatabaseError, Pool, types, type PoolClient, type PoolConfig } from 'pg';
import { connectionOptions, toStorageError } from './connect.ts';

/** For how long the server works at a statement, waits for the next one of a transaction, and is waited for itself. */
type Limits = Pick<PoolConfig, 'statement_timeout' | 'idle_in_transaction_session_timeout' | 'query_timeout'>;

/** How a pool is to be. */
export interface PoolOptions {
  readonly url: string;
  readonly size: number;
  readonly limits?: Limits;
}

/** The server gives up first and says so. A process that stops in a transaction must not hold its locks for ever. */
const LIMITS: Limits = {
  statement_timeout: 20_000,
  idle_in_transaction_session_timeout: 10_000,
  query_timeout: 25_000,
};

/** `bigint` becomes a number, and not a text: none here is beyond 2^53. */
const getTypeParser: typeof types.getTypeParser = (type: ColumnType, format?: 'text' | 'binary') =>
  type === types.builtins.INT8 ? Number : types.getTypeParser(type, format);
type ColumnType = Parameters<typeof types.getTypeParser>[0];

/** Opens connections when they are needed. Throws StorageUnavailableError where none can be had. */
export function createPool({ url, size, limits = LIMITS }: PoolOptions): PostgresPool {
  const pool = new Pool({
    ...connectionOptions(url),
    ...limits,
    max: size,
    types: { getTypeParser },
  });
  // A connection that breaks says so by an event, which would end the process if nobody listened; who uses the
  // connection hears of it from the query.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return {
    options: pool.options,
    end: () => pool.end(),
    connect: async () => {
      const client = await pool.connect().catch((error: unknown) => {
        throw toStorageError(error);
      });
      return guard(client);
    },
  };
}

/** A connection for one caller, who gets the server's own errors; one that did not answer does not go back. */
function guard(client: PoolClient): PostgresPoolClient {
  let broken = false;
  const query = async (text: string, values: readonly unknown[]) => {
    try {
      return await client.query(text, [...values]);
    } catch (error) {
      broken ||= !(error instanceof DatabaseError);
      throw toStorageError(error);
    }
  };
  return {
    query: query as unknown as PostgresPoolClient['query'],
    release: (destroy = false) => client.release(destroy || broken),
  };
}
