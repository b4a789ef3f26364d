/** The carriers in a chain of runs: pages of history, front to back. */
import type { Entry } from '../../log.ts';
import type { WrittenCarrier } from '../../session/archive.ts';
import { carried, closing, eventNumber, type HistoryEvent } from './history.ts';

/** One page of a run's history. */
export interface HistoryPage {
  readonly events: readonly HistoryEvent[];
  readonly nextToken: Uint8Array | undefined;
}

/** Where the history comes from. Every method throws SessionGoneError when there is no such session. */
export interface HistoryPages {
  /** The first run of the chain. */
  firstRunId(): Promise<string>;
  /** The number of the newest event of the newest run. */
  head(): Promise<{ runId: string; eventNumber: number }>;
  /** The next page; where there is nothing new, waits for it (an empty page after a while). */
  page(runId: string, token: Uint8Array | undefined, signal: AbortSignal): Promise<HistoryPage>;
}

/** Where a session is read from. */
export interface HistorySource extends HistoryPages {
  /** Puts an entry's content back. */
  unpack(entry: Entry): Promise<Entry>;
}

/** A place in a chain. */
export interface HistoryChain {
  /** The last run has ended, and its end was read. */
  readonly closed: boolean;
  /** The carriers that follow; none where a page has none. */
  next(signal: AbortSignal): Promise<readonly WrittenCarrier[]>;
  /** Asks what is durable now. The answer tells whether all of that has been read. */
  mark(): Promise<() => boolean>;
}

/** Starts before the first event of the first run. */
export function createHistoryChain(source: HistoryPages): HistoryChain {
  /** Runs that have been read to their end. */
  const passed = new Set<string>();
  let runId: string | undefined;
  let token: Uint8Array | undefined;
  let lastEvent = 0;
  let closed = false;

  function absorb(page: HistoryPage): WrittenCarrier[] {
    const carriers: WrittenCarrier[] = [];
    let nextRunId: string | undefined;
    for (const event of page.events) {
      if (eventNumber(event) <= lastEvent) continue;
      lastEvent = eventNumber(event);
      const carrier = carried(event);
      if (carrier) carriers.push(carrier);
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
    return carriers;
  }

  return {
    get closed() {
      return closed;
    },
    async next(signal) {
      runId ??= await source.firstRunId();
      return absorb(await source.page(runId, token, signal));
    },
    async mark() {
      const head = await source.head();
      return () => passed.has(head.runId) || (runId === head.runId && lastEvent >= head.eventNumber);
    },
  };
}
