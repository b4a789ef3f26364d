/** The carriers in a chain of runs: pages of history, front to back. */
import type { Entry, Tally } from '../../log.ts';
import type { WrittenCarrier } from '../../session/archive.ts';
import { begins, carried, closing, eventNumber, type HistoryEvent } from './history.ts';

/** One page of a run's history. */
export interface HistoryPage {
  readonly events: readonly HistoryEvent[];
  readonly nextToken: Uint8Array | undefined;
}

/** Where the history comes from. Every method throws SessionGoneError when there is no such session. */
export interface HistoryPages {
  /** The first run of the chain. */
  firstRunId(): Promise<string>;
  /** The number of the newest event of the newest run, and whether that is over. */
  head(): Promise<{ runId: string; eventNumber: number; isOver: boolean }>;
  /** The next page; where there is nothing new, waits for it (an empty page after a while). */
  page(runId: string, token: Uint8Array | undefined, signal: AbortSignal): Promise<HistoryPage>;
}

/** Where a session is read from. */
export interface HistorySource extends HistoryPages {
  /** Puts an entry's content back. */
  unpack(entry: Entry): Promise<Entry>;
}

/** What a page of the chain holds. */
export interface ChainPage {
  readonly carriers: readonly WrittenCarrier[];
  /** Where a run begins with them: the log that there is before it, as the run before has counted it. */
  readonly tally: Tally | undefined;
}

/** A place in a chain. */
export interface HistoryChain {
  /** The run that is being read; undefined before the first page. */
  readonly runId: string | undefined;
  /** The last run has ended, and its end was read. */
  readonly closed: boolean;
  /** The carriers that follow, all of one run; none where a page has none. */
  next(signal: AbortSignal): Promise<ChainPage>;
  /** Asks what is durable now. The answer tells whether all of that has been read. */
  mark(): Promise<() => boolean>;
}

/** Starts before the first event of a run; left out: of the first one. */
export function createHistoryChain(source: HistoryPages, startRunId?: string): HistoryChain {
  /** Runs that have been read to their end. */
  const passed = new Set<string>();
  let runId = startRunId;
  let token: Uint8Array | undefined;
  let lastEvent = 0;
  let closed = false;

  function absorb(page: HistoryPage): ChainPage {
    const carriers: WrittenCarrier[] = [];
    let tally: Tally | undefined;
    let nextRunId: string | undefined;
    for (const event of page.events) {
      if (eventNumber(event) <= lastEvent) continue;
      lastEvent = eventNumber(event);
      tally ??= begins(event);
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
    return { carriers, tally };
  }

  return {
    get runId() {
      return runId;
    },
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
