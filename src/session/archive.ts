/** Carriers at rest: what was written to a log, so that it can be written down elsewhere and still be the same log. Pure. */
import { createCounter, NOTHING_WRITTEN, type Author, type Draft, type Tally } from '../log.ts';

/** One durable write. `timeUs`: when, in microseconds. */
export interface WrittenCarrier {
  readonly drafts: readonly Draft[];
  readonly timeUs: number;
  readonly author: Author;
}

/** What a run on Temporal has written, once it is over. */
export interface FinishedRun {
  readonly runId: string;
  /** The log that there was before it. */
  readonly tally: Tally;
  readonly carriers: readonly WrittenCarrier[];
  readonly nextRunId: string | undefined;
}

/** A carrier whose entries are known: they have the positions and the microseconds from the first one on. */
export interface ArchivedCarrier extends WrittenCarrier {
  readonly position: number;
}

/** A log as far as it is known without its entries: what follows it has its place and its time by this. */
export interface Extent {
  readonly tally: Tally;
  /** The time of the last entry, in microseconds; 0: there is none. */
  readonly lastUs: number;
}

const NOTHING: Extent = { tally: NOTHING_WRITTEN, lastUs: 0 };

/**
 * What carriers came to that follow a log: without what the projection drops of them, and with the times that it gives.
 * Projected in their turn, they give the very same entries.
 */
export function settle(carriers: readonly WrittenCarrier[], after: Extent = NOTHING): ArchivedCarrier[] {
  const counter = createCounter(after.tally);
  let { lastUs } = after;
  return carriers.flatMap(({ drafts, timeUs, author }) => {
    const position = counter.length;
    const kept = drafts.filter((draft) => counter.admits(draft, author));
    if (kept.length === 0) return [];
    const firstUs = Math.max(timeUs, lastUs + 1);
    lastUs = firstUs + kept.length - 1;
    return [{ position, timeUs: firstUs, author, drafts: kept }];
  });
}

/** Counts a log from its carriers. */
export function tallyOf(carriers: readonly WrittenCarrier[]): Tally {
  const counter = createCounter();
  for (const { drafts, author } of carriers) for (const draft of drafts) counter.admits(draft, author);
  return counter.tally();
}

/** The time of the last entry of these, in microseconds; 0: there is none. */
export function endUs(carriers: readonly ArchivedCarrier[]): number {
  const last = carriers.at(-1);
  return last ? last.timeUs + last.drafts.length - 1 : 0;
}
