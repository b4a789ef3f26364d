/** A session's history as a log cursor: what it brought along, then the carriers of its chain of runs, projected. */
import { createProjection, type Entry } from '../../log.ts';
import { SessionGoneError } from '../../session.ts';
import type { ArchivedCarrier } from '../../session/archive.ts';
import type { LogCursor } from '../../session/cursor.ts';
import { createHistoryChain, type HistorySource } from './history-chain.ts';

/** What a session brought along. */
export interface Luggage {
  /** How many entries. */
  readonly base: number;
  /** Its carriers from a position on, in order, at most `limit`. */
  read(position: number, limit: number): Promise<readonly ArchivedCarrier[]>;
}

/**
 * A durable write comes as a few events within a millisecond or two. Asking again for each of them loads the server
 * just when it is to do the work that is waited for: with this pause a turn is a quarter quicker.
 */
const PAUSE_MS = 4;
/** Archived carriers that are read at a time. */
const PAGE = 200;

/** Starts before the first entry. */
export function createHistoryCursor(source: HistorySource, luggage?: Luggage): LogCursor {
  const projection = createProjection();
  const chain = createHistoryChain(source);
  const base = luggage?.base ?? 0;

  async function unload(): Promise<Entry[]> {
    const { length } = projection.entries;
    const carriers = (await luggage?.read(length, PAGE)) ?? [];
    // The archive grows again once the session has gone back to it.
    const brought = carriers.filter(({ position }) => position < base);
    const entries = brought.flatMap(({ drafts, timeUs, author }) =>
      projection.append(drafts, timeUs, author),
    );
    if (entries.length === 0) throw new SessionGoneError(`the archive ends at ${length}, before ${base}`);
    return entries;
  }

  return {
    get closed() {
      return chain.closed;
    },
    pauseMs: PAUSE_MS,
    async next(signal) {
      if (projection.entries.length < base) return await unload();
      const carriers = await chain.next(signal);
      return carriers.flatMap(({ drafts, timeUs, author }) => projection.append(drafts, timeUs, author));
    },
    mark: () => chain.mark(),
    unpack: (entry) => source.unpack(entry),
  };
}
