/** Stretches of a log in a database: read in pages, and nothing of them may be missing. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DamagedRowError } from '../session.ts';
import type { ArchivedCarrier } from './archive.ts';

/** What carriers are read from. */
export interface CarrierSource {
  /** Carriers from a position on, in order, at most `limit`. */
  read(sessionId: string, position: number, limit: number): Promise<readonly ArchivedCarrier[]>;
  /** The carriers that hold these positions, each once, in order. */
  readAt(sessionId: string, positions: readonly number[]): Promise<readonly ArchivedCarrier[]>;
}

/** Carriers that are read at a time. */
const PAGE = 200;

/** A stretch of a log in a database, from a position to another one. */
export interface Stretch {
  readonly sessionId: string;
  readonly from: number;
  readonly to: number;
}

/**
 * Reads a stretch page by page, so that no more than that of it is in memory.
 *
 * @throws {DamagedRowError} at the first hole, or the first carrier that cannot be read
 */
export async function* pagesOf(
  source: Pick<CarrierSource, 'read'>,
  { sessionId, from, to }: Stretch,
): AsyncGenerator<readonly ArchivedCarrier[], void, undefined> {
  let limit = PAGE;
  for (let position = from; position < to;) {
    let page: readonly ArchivedCarrier[];
    try {
      page = await source.read(sessionId, position, limit);
    } catch (error) {
      if (!(error instanceof DamagedRowError)) throw error;
      if (limit === 1) throw error.position > position ? missing(position, error.position) : error;
      // Carrier by carrier up to the damage: there may be a hole before it.
      limit = 1;
      continue;
    }
    const wanted = page.filter((carrier) => carrier.position < to);
    const end = endOf(wanted, position);
    if (end === position) throw missing(position, to);
    yield wanted;
    position = end;
    // A database in this process answers at once: whoever else has something to do goes first.
    await nextTurn();
  }
}

/**
 * Where carriers end that are to follow a position directly.
 *
 * @throws {DamagedRowError} where they leave a hole, or overlap
 */
export function endOf(carriers: readonly ArchivedCarrier[], position: number): number {
  let end = position;
  for (const { position: next, drafts } of carriers) {
    if (next > end) throw missing(end, next);
    if (next < end) throw new DamagedRowError(next, `position ${next} of the log was written twice`);
    end += drafts.length;
  }
  return end;
}

function missing(from: number, to: number): DamagedRowError {
  const which =
    to === from + 1 ? `position ${from} of the log is` : `positions ${from} to ${to - 1} of the log are`;
  return new DamagedRowError(from, `${which} missing`);
}

/**
 * Reads a stretch as a whole.
 *
 * @throws {DamagedRowError}
 */
export async function readCarriers(
  source: Pick<CarrierSource, 'read'>,
  stretch: Stretch,
): Promise<ArchivedCarrier[]> {
  const carriers: ArchivedCarrier[] = [];
  for await (const page of pagesOf(source, stretch)) carriers.push(...page);
  return carriers;
}
