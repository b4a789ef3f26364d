/** Prepared statements on a bounded pool of connections: one statement is one transaction. */
import { Pool } from 'pg';
import { connectionOptions, toStorageError } from './connect.ts';

/** A row as the driver gives it; `bigint` is a text. */
export type Row = Readonly<Record<string, unknown>>;

/** A statement with a name of its own, under which each connection prepares it once. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** Runs statements. */
export interface Statements {
  /** @throws {StorageUnavailableError} */
  run(statement: Statement, values: readonly unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

/** The server gives up first and says so. */
const LIMITS = { statement_timeout: 20_000, query_timeout: 25_000 };

/** Opens connections when they are needed, at most `size`. */
export function openStatements(url: string, size: number): Statements {
  const pool = new Pool({ ...connectionOptions(url), ...LIMITS, max: size });
  // A connection that breaks says so by an event, which would end the process if nobody listened.
  pool.on('error', () => undefined);
  return {
    async run(statement, values) {
      try {
        const { rows } = await pool.query<Row>({ ...statement, values: [...values] });
        return rows;
      } catch (error) {
        throw toStorageError(error);
      }
    },
    close: () => pool.end(),
  };
}
