/** A session's history as a log cursor: pages of a chain of runs, projected. */
import { createProjection, type Entry } from '../../log.ts';
import type { LogCursor } from '../../session/cursor.ts';
import { carried, closing, eventNumber, type HistoryEvent } from './history.ts';

/** One page of a run's history. */
export interface HistoryPage {
  readonly events: readonly HistoryEvent[];
  readonly nextToken: Uint8Array | undefined;
}

/** Where the history comes from. Every method throws SessionGoneError when there is no such session. */
export interface HistorySource {
  /** The first run of the chain. */
  firstRunId(): Promise<string>;
  /** The number of the newest event of the newest run. */
  head(): Promise<{ runId: string; eventNumber: number }>;
  /** The next page; where there is nothing new, waits for it (an empty page after a while). */
  page(runId: string, token: Uint8Array | undefined, signal: AbortSignal): Promise<HistoryPage>;
  /** Puts an entry's content back. */
  unpack(entry: Entry): Promise<Entry>;
}

/**
 * A durable write comes as a few events within a millisecond or two. Asking again for each of them loads the server
 * just when it is to do the work that is waited for: with this pause a turn is a quarter quicker.
 */
const PAUSE_MS = 4;

/** Starts before the first event of the first run. */
export function createHistoryCursor(source: HistorySource): LogCursor {
  const projection = createProjection();
  /** Runs that have been read to their end. */
  const passed = new Set<string>();
  let runId: string | undefined;
  let token: Uint8Array | undefined;
  let lastEvent = 0;
  let closed = false;

  function absorb(page: HistoryPage): Entry[] {
    const entries: Entry[] = [];
    let nextRunId: string | undefined;
    for (const event of page.events) {
      if (eventNumber(event) <= lastEvent) continue;
      lastEvent = eventNumber(event);
      const content = carried(event);
      if (content) entries.push(...projection.append(content.drafts, content.timeUs, content.author));
      const end = closing(event);
      if (end) {
        closed = end.nextRunId === undefined;
        nextRunId = end.nextRunId;
      }
    }
    token = page.nextToken;
    if (nextRunId !== undefined) {
      if (runId !== undefined) passed.add(runId);
      runId = nextRunId;
      token = undefined;
      lastEvent = 0;
    }
    return entries;
  }

  return {
    get closed() {
      return closed;
    },
    pauseMs: PAUSE_MS,
    async next(signal) {
      runId ??= await source.firstRunId();
      return absorb(await source.page(runId, token, signal));
    },
    async mark() {
      const head = await source.head();
      return () => passed.has(head.runId) || (runId === head.runId && lastEvent >= head.eventNumber);
    },
    unpack: (entry) => source.unpack(entry),
  };
}
