/** What all connections to Postgres have in common, and what their failures mean. */
import { DatabaseError, type ClientConfig } from 'pg';
import { StorageUnavailableError, UnstorableValueError } from '../storage-error.ts';

const CONNECTED_WITHIN_MS = 5_000;
const KEEP_ALIVE_AFTER_MS = 10_000;

/** SQLSTATE classes: connection, resources, operator's intervention, the system below. */
const OUTAGE = /^(08|53|57|58)/;
/** Data exceptions: a NUL character in a text, a number out of range. */
const BAD_VALUE = /^22/;

/** How to connect. */
export function connectionOptions(url: string): ClientConfig {
  return {
    connectionString: url,
    fallback_application_name: 'drover',
    connectionTimeoutMillis: CONNECTED_WITHIN_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
  };
}

/** A driver's error as the server's own; what tells of a mistake in a statement stays as it is. */
export function toStorageError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof TypeError) return error;
  if (error instanceof DatabaseError && !OUTAGE.test(error.code ?? '')) {
    if (!BAD_VALUE.test(error.code ?? '')) return error;
    return new UnstorableValueError(`The database refuses a value: ${error.message}`, { cause: error });
  }
  return new StorageUnavailableError(`The database cannot be reached: ${wordsOf(error)}`, { cause: error });
}

/** Of a host with several addresses, each failure is one of many. */
function wordsOf(error: Error): string {
  const [first] = error instanceof AggregateError ? (error.errors as Error[]) : [];
  return error.message || first?.message || error.name;
}
