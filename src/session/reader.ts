/**
 * Follows one session's history and keeps its projection. One long poll serves every reader of the session in
 * this process, and only while somebody waits: watching adds no byte to anything durable.
 */
import type { Entry } from '../log.ts';
import { createProjection } from '../log.ts';
import { SessionGoneError, type SessionView } from '../session.ts';
import { foldView } from '../view.ts';
import { carried, closing, eventNumber, type HistoryEvent } from './history.ts';
import { createWaiting, type Waiting } from './waiting.ts';

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

/** A session as far as it has been read. */
export interface Reader extends Waiting {
  readonly entries: readonly Entry[];
  readonly view: SessionView | undefined;
  /** Whether the newest run is closed: nothing will follow unless a new run starts. */
  readonly closed: boolean;
  /** Reads up to what is durable now. */
  sync(): Promise<void>;
  /** Whether an event with this id is in the log. */
  has(id: string): boolean;
}

/** Starts a reader; it reads nothing before it is asked. */
export function createReader(source: HistorySource): Reader {
  const projection = createProjection();
  const ids = new Set<string>();
  /** Runs that have been read to their end. */
  const passed = new Set<string>();
  /** Entries that the view does not know yet. */
  const unseen: Entry[] = [];
  let view: SessionView | undefined;
  let runId: string | undefined;
  let token: Uint8Array | undefined;
  let lastEvent = 0;
  let closed = false;

  async function absorb(page: HistoryPage): Promise<void> {
    let nextRunId: string | undefined;
    for (const event of page.events) {
      if (eventNumber(event) <= lastEvent) continue;
      lastEvent = eventNumber(event);
      const content = carried(event);
      if (content) await addEntries(projection.append(content.drafts, content.timeUs, content.author));
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
  }

  async function addEntries(entries: readonly Entry[]): Promise<void> {
    for (const entry of entries) ids.add(entry.event.id);
    unseen.push(...entries);
    await look();
  }

  /** Brings the view up to the entries. Content that cannot be read now is tried again by the next read. */
  async function look(): Promise<void> {
    for (let [entry] = unseen; entry; [entry] = unseen) {
      view = foldView(view, [shapesView(entry) ? await source.unpack(entry) : entry]);
      unseen.shift();
    }
  }

  const { until, isLive } = createWaiting({
    isOver: () => closed,
    async readMore(signal) {
      if (unseen.length > 0) return look();
      runId ??= await source.firstRunId();
      await absorb(await source.page(runId, token, signal));
    },
  });

  return {
    entries: projection.entries,
    get view() {
      return view;
    },
    get closed() {
      return closed;
    },
    until,
    isLive,
    has: (id) => ids.has(id),
    async sync() {
      const head = await source.head();
      const reached = (): boolean =>
        unseen.length === 0 &&
        (passed.has(head.runId) || (runId === head.runId && lastEvent >= head.eventNumber));
      await until(reached, new AbortController().signal);
      if (!view) throw new SessionGoneError('the session has no log');
    },
  };
}

function shapesView(entry: Entry): boolean {
  return entry.event.type === 'x.session_created' || entry.event.type === 'session.updated';
}
