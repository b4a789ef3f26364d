/**
 * A log as far as it has been read: of all entries an index, the newest ones whole. Older ones are let go as soon as the
 * archive has them, and are read back from there, so that what is kept does not grow with the log.
 */
import type { Entry } from '../log.ts';
import { DamagedRowError } from '../session.ts';
import { formatMicros } from '../wire/time.ts';
import type { ArchivedCarrier } from './archive.ts';
import { createLogIndex, type LogIndex } from './log-index.ts';

/** Where older entries are read back from. */
export interface ReadBack {
  /** Entries before this position are there. */
  extent(): Promise<number>;
  /** The carriers that hold these positions, each once, in order. */
  carriersAt(positions: readonly number[]): Promise<readonly ArchivedCarrier[]>;
}

/** What can be asked of it. */
export interface ReadLog {
  readonly index: LogIndex;
  /** Whether an event with this id is among the newest entries. */
  has(id: string): boolean;
  /** Where the first entry with this id stands, if an entry with it is among the newest. */
  firstOf(id: string): number | undefined;
  /** The last entry with this id; undefined: there is none. */
  positionOf(id: string): Promise<number | undefined>;
  /**
   * The entries at these positions, in that order.
   *
   * @throws {DamagedRowError} when one of them is neither kept nor in the archive
   */
  at(positions: readonly number[]): Promise<Entry[]>;
}

/** The log, for whoever reads it. */
export interface KeptLog extends ReadLog {
  /** Takes in the entry that follows. */
  add(entry: Entry): void;
  /** Lets go what need not be kept. */
  trim(): Promise<void>;
}

/**
 * So many of the newest entries are kept at least: a repeated write is recognised a thousand events back, and whoever
 * waits for an event looks no further.
 */
const ENTRIES_KEPT = 2000;
/** Of these, so many may come on top before older ones are let go. */
const SLACK = 0.5;
/** Entries that are looked through at a time. */
const PIECE = 500;

/** Makes an empty one. Without `archive` it keeps everything. */
export function createKeptLog(archive?: ReadBack, kept = ENTRIES_KEPT): KeptLog {
  const index = createLogIndex();
  const newest = createNewest();
  /** How long the log has to be for a look at what can be let go. */
  let trimAt = kept * (1 + SLACK);

  async function readBack(positions: readonly number[]): Promise<ReadonlyMap<number, Entry>> {
    if (positions.length === 0) return new Map();
    const origins = positions.flatMap((position) => index.originOf(position) ?? []);
    const wanted = [...new Set([...positions, ...origins])].toSorted((left, right) => left - right);
    const carriers = (await archive?.carriersAt(wanted)) ?? [];
    return restore(positions, carriers, index);
  }

  async function at(positions: readonly number[]): Promise<Entry[]> {
    const older = await readBack(positions.filter((position) => position < newest.from));
    return positions.flatMap((position) => older.get(position) ?? newest.at(position) ?? []);
  }

  return {
    index,
    add(entry) {
      newest.add(entry);
      index.add(entry);
    },
    async trim() {
      if (!archive || index.length < trimAt) return;
      // What the archive does not have yet is looked at again later.
      trimAt = index.length + kept * SLACK;
      newest.dropBefore(Math.min(await archive.extent(), index.length - kept));
    },
    has: (id) => newest.positionOf(id) !== undefined,
    firstOf(id) {
      const position = newest.positionOf(id);
      return position === undefined ? undefined : (index.originOf(position) ?? position);
    },
    async positionOf(id) {
      const known = newest.positionOf(id);
      if (known !== undefined) return known;
      for (let end = newest.from; end > 0; end -= PIECE) {
        const entries = await at(range(Math.max(0, end - PIECE), end));
        const found = entries.findLast(({ event }) => event.id === id);
        if (found) return found.position;
      }
      return undefined;
    },
    at,
  };
}

/** Positions from one to another, that one not included. */
export function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, rank) => from + rank);
}

/** Makes entries of carriers that hold them, and what they refer to. */
function restore(
  positions: readonly number[],
  carriers: readonly ArchivedCarrier[],
  index: LogIndex,
): Map<number, Entry> {
  const drafts = new Map(
    carriers.flatMap(({ position, drafts }) => drafts.map((draft, rank) => [position + rank, draft])),
  );
  return new Map(
    positions.map((position) => {
      const draft = drafts.get(index.originOf(position) ?? position);
      if (!draft || 'processed' in draft)
        throw new DamagedRowError(position, `position ${position} of the log is missing`);
      const { event, ...rest } = draft;
      const timeUs = index.timeUsAt(position);
      const at = timeUs === undefined ? null : formatMicros(timeUs);
      return [position, { ...rest, position, event: { ...event, processed_at: at } }];
    }),
  );
}

/** The newest entries of a log. */
function createNewest() {
  let entries: Entry[] = [];
  let from = 0;
  const ids = new Map<string, number>();
  return {
    get from() {
      return from;
    },
    add(entry: Entry): void {
      entries.push(entry);
      ids.set(entry.event.id, entry.position);
    },
    at: (position: number): Entry | undefined => entries[position - from],
    positionOf: (id: string): number | undefined => ids.get(id),
    dropBefore(position: number): void {
      if (position <= from) return;
      for (const { event, position: at } of entries.slice(0, position - from))
        if (ids.get(event.id) === at) ids.delete(event.id);
      entries = entries.slice(position - from);
      from = position;
    },
  };
}
