/** A log in the store as a cursor. What is written in this process need not be read back. */
import { createProjection, type Entry } from '../../log.ts';
import { DamagedLogError, DamagedRowError, SessionGoneError } from '../../session.ts';
import type { LogCursor } from '../../session/cursor.ts';
import { endOf } from '../../session/stretch.ts';
import type { Changes } from './changes.ts';
import type { CarrierRow, LogStore } from './store.ts';

/** A cursor that can be told what was written. */
export interface TellableCursor extends LogCursor {
  /** Saves reading a carrier back that follows directly; any other is ignored. */
  tell(carrier: CarrierRow): void;
}

/** What a cursor reads with. */
export interface LogCursorDeps {
  readonly store: LogStore;
  readonly changes: Changes;
  readonly unpack: (entry: Entry) => Promise<Entry>;
}

/** Carriers that are read at a time. */
const PAGE = 200;
/** Changes are announced; that they are is not certain. */
const LOOK_AGAIN_MS = 1000;

/** Starts before the first entry. */
export function createLogCursor(
  sessionId: string,
  { store, changes, unpack }: LogCursorDeps,
): TellableCursor {
  const projection = createProjection();
  const told: CarrierRow[] = [];

  function project(rows: readonly CarrierRow[]): Entry[] {
    const fresh = rows.filter(({ position }) => position >= projection.length);
    endOf(fresh, projection.length);
    return fresh.flatMap(({ position, timeUs, author, drafts }) => {
      const added = projection.append(drafts, timeUs, author);
      if (added[0]?.position !== position || added.length !== drafts.length)
        throw new DamagedLogError(`the log of ${sessionId} has a carrier at ${position} that does not fit`);
      return added;
    });
  }

  /** The log is longer than what was read of it: that came meanwhile, or it is gone. */
  async function checkEnd(position: number): Promise<void> {
    if ((await store.read(sessionId, position, 1)).length > 0) return;
    const head = await store.head(sessionId);
    if (!head) throw new SessionGoneError(`no session ${sessionId}`);
    throw new DamagedRowError(
      position,
      `the log of ${sessionId} ends at ${position}, and ${head.length} entries were written`,
    );
  }

  return {
    pauseMs: 0,
    get closed() {
      return projection.isOver;
    },
    tell(carrier) {
      const expected = told.reduce((at, { drafts }) => at + drafts.length, projection.length);
      if (carrier.position === expected) told.push(carrier);
    },
    async next(signal) {
      if (told.length > 0) return project(told.splice(0));
      const changed = changes.next(sessionId, LOOK_AGAIN_MS, signal);
      const position = projection.length;
      const rows = await store.read(sessionId, position, PAGE);
      if (rows.length > 0) return project(rows);
      const head = await store.head(sessionId);
      if (!head) throw new SessionGoneError(`no session ${sessionId}`);
      const isHere = head.place === 'here' || head.place === 'leaving';
      if (head.length > position && told.length === 0) await checkEnd(position);
      // Elsewhere it may go on long before anything changes here.
      if (told.length === 0 && isHere) await changed;
      signal.throwIfAborted();
      return [];
    },
    async mark() {
      const head = await store.head(sessionId);
      if (!head) throw new SessionGoneError(`no session ${sessionId}`);
      return () => projection.length >= head.length;
    },
    unpack,
  };
}
