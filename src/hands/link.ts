/**
 * A worker's line to the runner of one hand. It breaks and comes back without the calls noticing: what was under
 * way is asked for again by its id, which the runner answers without running anything twice.
 */
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { HandGoneError, type CallContext, type ToolCall, type ToolOutcome } from '../hands.ts';
import type { Snapshot, SnapshotStore } from '../snapshot.ts';
import { ConnectionLostError, createConnection, type Connection } from './connection.ts';
import { restoreSnapshot, takeSnapshot, type KnownSnapshot } from './snapshots.ts';

/** How a kind of hand reaches its runner, and finds out what has become of it. */
export interface LinkSource {
  /** Opens a byte stream to the runner. */
  open(): Promise<Duplex>;
  /** Says why the hand is dead; undefined while it seems to be alive. */
  findCauseOfDeath(): Promise<string | undefined>;
}

/** A line to one hand. */
export interface Link {
  /** Resolves when the runner answers. */
  ready(): Promise<void>;
  execute(call: ToolCall, context: CallContext): Promise<ToolOutcome>;
  /** As the port's. Whoever uses this line keeps all snapshots of the hand in one store. */
  snapshot(store: SnapshotStore, context: CallContext): Promise<Snapshot>;
  restore(snapshot: string, store: SnapshotStore, context: CallContext): Promise<void>;
  close(): void;
}

/** Losing the line this often in a row to a hand that seems alive means that it cannot be reached. */
const MAX_ATTEMPTS = 6;
const FIRST_PAUSE_MS = 25;
/** A line that carried nothing for so long is closed; the next call opens another. */
const IDLE_MS = 5 * 60_000;
/** How long to wait for a runner to confirm that it has ended an aborted call. */
const ABORT_PATIENCE_MS = 5_000;

/** Makes the line; it is opened by the first call. */
export function createLink(source: LinkSource): Link {
  let current: Promise<Connection> | undefined;
  let idle: NodeJS.Timeout | undefined;
  let busy = 0;
  let known: KnownSnapshot | undefined;

  const connect = (): Promise<Connection> => {
    if (current !== undefined) return current;
    const opening = source.open().then(createConnection, (error: unknown) => {
      throw new ConnectionLostError(error instanceof Error ? error.message : String(error), { cause: error });
    });
    current = opening;
    const forget = (): void => {
      if (current === opening) current = undefined;
    };
    opening.then((connection) => connection.closed.then(forget), forget);
    return opening;
  };
  const close = (): void => {
    clearTimeout(idle);
    const open = current;
    current = undefined;
    open?.then((connection) => connection.close()).catch(() => undefined);
  };
  /** Keeps at it until the request is answered or the hand is known to be dead. */
  const request = async <T>(send: (connection: Connection) => Promise<T>): Promise<T> => {
    clearTimeout(idle);
    busy += 1;
    try {
      return await persist(source, async () => send(await connect()));
    } finally {
      busy -= 1;
      if (busy === 0) idle = setTimeout(close, IDLE_MS).unref();
    }
  };

  return {
    ready: () => request((connection) => connection.ping()),
    close,
    async snapshot(store, { signal }) {
      const taken = await untilAborted(signal, () =>
        request(({ files }) => takeSnapshot({ files, store, signal }, known)),
      );
      known = { id: taken.id, bytes: taken.bytes };
      return taken;
    },
    restore: (snapshot, store, { signal }) =>
      untilAborted(signal, () => request(({ files }) => restoreSnapshot({ files, store, signal }, snapshot))),
    async execute(call, { signal }) {
      const abort = async (): Promise<never> => {
        const ended = request((connection) => connection.abort(call.id)).catch(() => undefined);
        await Promise.race([ended, sleep(ABORT_PATIENCE_MS, undefined, { ref: false })]);
        throw signal.reason;
      };
      if (signal.aborted) return abort();
      const outcome = request((connection) => {
        // A call that was aborted while the line was down must not begin when it is up again.
        signal.throwIfAborted();
        return connection.execute(call);
      });
      const stopListening = new AbortController();
      const aborted = once(signal, 'abort', { signal: stopListening.signal }).then(() => undefined);
      aborted.catch(() => undefined);
      try {
        return (await Promise.race([outcome, aborted])) ?? (await abort());
      } finally {
        outcome.catch(() => undefined);
        stopListening.abort();
      }
    },
  };
}

/** Rejects at once when the signal aborts; what is under way then ends by itself at its next step. */
async function untilAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const over = new AbortController();
  const aborted = once(signal, 'abort', { signal: over.signal }).then(() => {
    throw signal.reason;
  });
  aborted.catch(() => undefined);
  try {
    return await Promise.race([work(), aborted]);
  } finally {
    over.abort();
  }
}

async function persist<T>(source: LinkSource, attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof ConnectionLostError)) throw error;
      const cause = await source.findCauseOfDeath();
      if (cause !== undefined) throw new HandGoneError(cause, { cause: error });
      if (tries === MAX_ATTEMPTS)
        throw new HandGoneError(`the sandbox cannot be reached: ${error.message}`, { cause: error });
    }
    await sleep(FIRST_PAUSE_MS * 2 ** tries);
  }
}
