/** Carriers at rest: what was written to a log, so that it can be written down elsewhere and still be the same log. Pure. */
import { createProjection, type Author, type Draft } from '../log.ts';

/** One durable write. `timeUs`: when, in microseconds. */
export interface WrittenCarrier {
  readonly drafts: readonly Draft[];
  readonly timeUs: number;
  readonly author: Author;
}

/** A carrier whose entries are known: they have the positions and the microseconds from the first one on. */
export interface ArchivedCarrier extends WrittenCarrier {
  readonly position: number;
}

/**
 * What carriers came to: without what the projection drops of them, and with the times that it gives. Projected in their
 * turn, they give the very same entries.
 */
export function settle(carriers: readonly WrittenCarrier[]): ArchivedCarrier[] {
  const projection = createProjection();
  let lastUs = 0;
  return carriers.flatMap(({ drafts, timeUs, author }) => {
    const position = projection.entries.length;
    const kept = drafts.filter((draft) => projection.append([draft], timeUs, author).length > 0);
    if (kept.length === 0) return [];
    const firstUs = Math.max(timeUs, lastUs + 1);
    lastUs = firstUs + kept.length - 1;
    return [{ position, timeUs: firstUs, author, drafts: kept }];
  });
}
