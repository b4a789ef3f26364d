/**
 * Follows one session's log. One reading loop serves every reader of the session in this process, and only while
 * somebody waits: watching adds no byte to anything durable.
 */
import type { Entry } from '../log.ts';
import { DamagedLogError, SessionGoneError, type SessionView } from '../session.ts';
import { foldView } from '../view.ts';
import type { LogCursor } from './cursor.ts';
import { createKeptLog, type ReadLog } from './kept-log.ts';
import { createWaiting, type Waiting } from './waiting.ts';

/** A session as far as it has been read. */
export interface Reader extends Waiting, ReadLog {
  readonly view: SessionView | undefined;
  /** Whether nothing will follow. */
  readonly closed: boolean;
  /** Reads up to what is durable now. */
  sync(): Promise<void>;
}

/** Starts a reader; it reads nothing before it is asked. */
export function createReader(cursor: LogCursor, log = createKeptLog()): Reader {
  /** Entries that the view does not know yet. */
  const unseen: Entry[] = [];
  let view: SessionView | undefined;

  /** Brings the view up to the entries. Content that cannot be read now is tried again by the next read. */
  async function look(): Promise<void> {
    let seen = 0;
    try {
      for (const entry of unseen) {
        view = foldView(view, [shapesView(entry) ? await cursor.unpack(entry) : entry]);
        seen += 1;
      }
    } finally {
      unseen.splice(0, seen);
    }
  }

  const { until, isLive } = createWaiting({
    isOver: () => cursor.closed,
    pauseMs: () => cursor.pauseMs,
    async readMore(signal) {
      if (unseen.length > 0) return look();
      for (const entry of await cursor.next(signal)) {
        log.add(entry);
        unseen.push(entry);
      }
      await look();
      await log.trim();
    },
  });

  return {
    ...log,
    async at(positions) {
      try {
        return await log.at(positions);
      } catch (error) {
        // Of a session that has been deleted nothing is damaged.
        if (error instanceof DamagedLogError) await cursor.mark();
        throw error;
      }
    },
    get view() {
      return view;
    },
    get closed() {
      return cursor.closed;
    },
    until,
    isLive,
    async sync() {
      const isReached = await cursor.mark();
      await until(() => unseen.length === 0 && isReached(), new AbortController().signal);
      if (!view) throw new SessionGoneError('the session has no log');
    },
  };
}

function shapesView(entry: Entry): boolean {
  return entry.event.type === 'x.session_created' || entry.event.type === 'session.updated';
}
