/** A session on Temporal as a log cursor: what is in the archive, then the carriers of its chain of runs, projected. */
import { createProjection, type Entry } from '../../log.ts';
import { DamagedLogError, HistoryGapError, SessionGoneError } from '../../session.ts';
import type { ArchivedCarrier, WrittenCarrier } from '../../session/archive.ts';
import type { LogCursor } from '../../session/cursor.ts';
import type { Home } from '../../session/home.ts';
import { endOf } from '../../session/stretch.ts';
import { createHistoryChain, type HistorySource } from './history-chain.ts';

/** What of a session is in the archive. */
export interface Archived extends Pick<Home, 'base' | 'nextRunId' | 'isSealed'> {
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
export function createHistoryCursor(source: HistorySource, archived?: Archived): LogCursor {
  const projection = createProjection();
  const chain = createHistoryChain(source, archived?.nextRunId);
  const base = archived?.base ?? 0;
  const isSealed = archived?.isSealed ?? false;

  function append(carriers: readonly WrittenCarrier[]): Entry[] {
    return carriers.flatMap(({ drafts, timeUs, author }) => projection.append(drafts, timeUs, author));
  }

  async function readArchive(): Promise<Entry[]> {
    const carriers = (await archived?.read(projection.length, PAGE)) ?? [];
    // The archive grows meanwhile.
    const wanted = carriers.filter(({ position }) => position < base);
    if (endOf(wanted, projection.length) === projection.length)
      throw new HistoryGapError(`the archive ends at ${projection.length}, before ${base}`);
    return append(wanted);
  }

  async function readHistory(signal: AbortSignal): Promise<Entry[]> {
    const { tally, carriers } = await chain.next(signal).catch(whereItIsGone);
    if (tally && tally.length !== projection.length)
      throw new DamagedLogError(
        `the run ${chain.runId} begins at position ${tally.length}, and the log before it ends at ${projection.length}`,
      );
    return append(carriers);
  }

  /** A session that is gone has no runs at all; one that has lost some has a gap. */
  async function whereItIsGone(error: unknown): Promise<never> {
    if (!(error instanceof SessionGoneError)) throw error;
    const { runId } = await source.head();
    throw new HistoryGapError(
      `what follows position ${projection.length} is lost: it is neither in the archive nor in a history before the run ${runId}`,
      { cause: error },
    );
  }

  return {
    get closed() {
      return isSealed ? projection.length >= base : chain.closed;
    },
    pauseMs: PAUSE_MS,
    async next(signal) {
      if (projection.length < base) return await readArchive();
      return isSealed ? [] : await readHistory(signal);
    },
    mark: async () => (isSealed ? () => projection.length >= base : await chain.mark()),
    unpack: (entry) => source.unpack(entry),
  };
}
