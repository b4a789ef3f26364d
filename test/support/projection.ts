/** A log in memory as a whole, to be looked at. */
import { createProjection, isQueuedType, type Entry, type Projection } from '../../src/log.ts';
import type { Slice } from '../../src/session.ts';
import { selectSlice } from '../../src/session/listing.ts';
import { createLogIndex, type LogIndex } from '../../src/session/log-index.ts';

/** A log in memory. */
export interface CollectedLog extends Projection {
  readonly entries: readonly Entry[];
}

/** Starts an empty log. */
export function collectLog(): CollectedLog {
  const projection = createProjection();
  const entries: Entry[] = [];
  return {
    entries,
    get length() {
      return projection.length;
    },
    get isOver() {
      return projection.isOver;
    },
    append(drafts, timeUs, author) {
      const added = projection.append(drafts, timeUs, author);
      entries.push(...added);
      return added;
    },
  };
}

/**
 * The log as the list shows it: each event once, in its current form; what is still queued comes last
 * (wire-api 11.3).
 */
export function currentForms(entries: readonly Entry[]): Entry[] {
  const taken = new Set<string>();
  for (const { event } of entries) {
    if (event.processed_at !== null && isQueuedType(event.type)) taken.add(event.id);
  }
  const settled = entries.filter(({ event }) => event.processed_at !== null);
  const waiting = entries.filter(({ event }) => event.processed_at === null && !taken.has(event.id));
  return [...settled, ...waiting];
}

/** The index of a log. */
export function indexOf(log: readonly Entry[]): LogIndex {
  const index = createLogIndex();
  for (const entry of log) index.add(entry);
  return index;
}

/** What the sessions port answers for a slice of a log. */
export function sliceOf(log: readonly Entry[], slice: Slice = {}): Entry[] {
  const through = log.findLastIndex(({ event }) => event.id === slice.throughId);
  return selectSlice(indexOf(log), slice, slice.throughId === undefined ? undefined : through).flatMap(
    (position) => log[position] ?? [],
  );
}
