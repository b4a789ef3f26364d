/** One connection to Postgres that is opened again whenever it breaks, for what a pool cannot do. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { StorageUnavailableError } from '../storage-error.ts';
import { connectionOptions, toStorageError } from './connect.ts';

/** The connection. */
export interface Line {
  /** Statements run one after another; one that fails breaks the connection, because nobody knows what it left. */
  query(text: string, values?: readonly unknown[]): Promise<void>;
  close(): Promise<void>;
}

/** What its owner is told. Must not throw. */
export interface LineEvents {
  /** A connection is there; whatever the last one knew is gone. */
  readonly onOpen: () => void;
  readonly onNotification: (channel: string, payload: string) => void;
}

const RECONNECT_MS = 250;
/** A connection over which nothing comes back any more breaks only when it is asked something. */
const ASK_EVERY_MS = 10_000;
const ANSWERED_WITHIN_MS = 5_000;
const CLOSED_WITHIN_MS = 1_000;

/** Opens the connection, and again until it is closed. */
export function openLine(url: string, events: LineEvents): Line {
  const closing = new AbortController();
  let current: Client | undefined;
  /** The driver itself keeps no queue. */
  let last: Promise<unknown> = Promise.resolve();

  const runQuery = async (text: string, values: readonly unknown[]): Promise<void> => {
    const client = current;
    if (!client) throw new StorageUnavailableError('The connection to the database is down.');
    try {
      await client.query(text, [...values]);
    } catch (error) {
      end(client);
      throw toStorageError(error);
    }
  };
  const query: Line['query'] = (text, values = []) => {
    const done = last.then(() => runQuery(text, values));
    last = done.catch(() => undefined);
    return done;
  };
  const connectOnce = async (): Promise<void> => {
    const client = new Client({ ...connectionOptions(url), query_timeout: ANSWERED_WITHIN_MS });
    const ended = new Promise((resolve) => client.once('end', resolve));
    client.on('error', () => end(client));
    client.on('notification', ({ channel, payload = '' }) => events.onNotification(channel, payload));
    try {
      await client.connect();
    } catch {
      end(client);
      return;
    }
    current = client;
    if (closing.signal.aborted) end(client);
    else events.onOpen();
    const asking = setInterval(() => void query('select 1').catch(() => undefined), ASK_EVERY_MS);
    await ended;
    current = undefined;
    clearInterval(asking);
  };
  const run = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      await connectOnce();
      await sleep(RECONNECT_MS, undefined, { signal: closing.signal }).catch(() => undefined);
    }
  };
  const running = run();
  const stop = async (): Promise<void> => {
    closing.abort();
    await last;
    if (current) end(current);
    await running;
  };

  return {
    query,
    async close() {
      // A server that does not answer cannot be waited for.
      await Promise.race([stop(), sleep(CLOSED_WITHIN_MS, undefined, { ref: false })]);
    },
  };
}

/** Ends a connection without waiting; it tells when it has ended. */
function end(client: Client): void {
  client.end().catch(() => undefined);
}
