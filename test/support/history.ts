/** Temporal histories made by hand, as the server gives them out, and a source that serves them page by page. */
import { defaultPayloadConverter } from '@temporalio/common';
import type { Draft, Entry, Tally } from '../../src/log.ts';
import { SessionGoneError } from '../../src/session.ts';
import type { HistoryEvent } from '../../src/engine/temporal/history.ts';
import type { HistoryPage, HistorySource } from '../../src/engine/temporal/history-chain.ts';
import { EMIT_SIGNAL, LOG_MEMO } from '../../workflows/messages.ts';

type Attributes = Omit<HistoryEvent, 'eventId' | 'eventTime'>;

function payloads(value: unknown) {
  return { payloads: [defaultPayloadConverter.toPayload(value)] };
}

/** The first event of a run. */
export function started(drafts: readonly Draft[], tally?: Tally): Attributes {
  const origin = tally && { tally };
  return { workflowExecutionStartedEventAttributes: { input: payloads({ v: 1, drafts, origin }) } };
}

/** A client's events. */
export function signaled(drafts: readonly Draft[], signalName = EMIT_SIGNAL): Attributes {
  return { workflowExecutionSignaledEventAttributes: { signalName, input: payloads({ drafts }) } };
}

/** What the workflow wrote by itself. */
export function noted(drafts: readonly Draft[]): Attributes {
  const fields = { [LOG_MEMO]: defaultPayloadConverter.toPayload({ drafts }) };
  return { workflowPropertiesModifiedEventAttributes: { upsertedMemo: { fields } } };
}

/** An activity is to run; its input carries drafts. */
export function scheduled(drafts: readonly Draft[]): Attributes {
  return { activityTaskScheduledEventAttributes: { input: payloads({ sessionId: 's', drafts }) } };
}

/** An activity's result. */
export function completed(drafts: readonly Draft[]): Attributes {
  return { activityTaskCompletedEventAttributes: { result: payloads({ drafts }) } };
}

/** The run goes on as another. */
export function continued(newExecutionRunId: string): Attributes {
  return { workflowExecutionContinuedAsNewEventAttributes: { newExecutionRunId } };
}

/** The workflow is over. */
export const ENDED: Attributes = { workflowExecutionCompletedEventAttributes: {} };

/** Something without session events. */
export const NOISE: Attributes = { workflowTaskScheduledEventAttributes: {} };

/** Numbers events from 1 and dates them, a millisecond apart from `fromMs`. */
export function run(attributes: readonly Attributes[], fromMs = 1000): HistoryEvent[] {
  return attributes.map(
    (attribute, index) =>
      ({ ...attribute, eventId: String(index + 1), ...at(fromMs + index) }) as unknown as HistoryEvent,
  );
}

function at(timeMs: number): { eventTime: { seconds: string; nanos: number } } {
  return { eventTime: { seconds: String(Math.floor(timeMs / 1000)), nanos: (timeMs % 1000) * 1_000_000 } };
}

/** A source of histories that the test moves on. Long polls stay open until something is added. */
export interface FakeSource extends HistorySource {
  /** Adds events to a run, by the name of the run. */
  add(runId: string, attributes: readonly Attributes[]): void;
  /** Makes the next calls of a kind fail. */
  fail(kind: 'page' | 'head' | 'unpack', error: Error, times?: number): void;
  /** Lets the session vanish. */
  vanish(): void;
  /** Polls that are open now, and the most there ever were at once. */
  readonly open: number;
  readonly mostOpen: number;
  readonly pages: number;
  readonly aborted: number;
}

/** Makes a source. `pageSize`: how many events a page has; `overlap`: how many of the last page come again. */
export function createFakeSource({ pageSize = 2, overlap = 0 } = {}): FakeSource {
  const runs = new Map<string, Attributes[]>();
  const failures = new Map<string, Error[]>();
  const wakes = new Set<() => void>();
  const counts = { open: 0, mostOpen: 0, pages: 0, aborted: 0 };
  let gone = false;
  const orFail = (kind: string): void => {
    if (gone) throw new SessionGoneError('no such session');
    const error = failures.get(kind)?.shift();
    if (error) throw error;
  };
  const wake = (): void => {
    for (const one of wakes) one();
  };
  const eventsOf = (runId: string): HistoryEvent[] => {
    const events = runs.get(runId);
    if (!events) throw new Error(`no run ${runId}`);
    return run(events, 1000 + [...runs.keys()].indexOf(runId) * 1000);
  };

  return {
    get open() {
      return counts.open;
    },
    get mostOpen() {
      return counts.mostOpen;
    },
    get pages() {
      return counts.pages;
    },
    get aborted() {
      return counts.aborted;
    },
    add(runId, attributes) {
      runs.set(runId, [...(runs.get(runId) ?? []), ...attributes]);
      wake();
    },
    fail(kind, error, times = 1) {
      failures.set(kind, Array<Error>(times).fill(error));
      wake();
    },
    vanish() {
      gone = true;
      wake();
    },
    async firstRunId() {
      orFail('head');
      return [...runs.keys()][0] ?? '';
    },
    async head() {
      orFail('head');
      const runId = [...runs.keys()].at(-1) ?? '';
      const events = runs.get(runId) ?? [];
      return { runId, eventNumber: events.length, isOver: events.at(-1) === ENDED };
    },
    async page(runId, token, signal): Promise<HistoryPage> {
      counts.pages += 1;
      counts.open += 1;
      counts.mostOpen = Math.max(counts.mostOpen, counts.open);
      try {
        const from = token ? Number(Buffer.from(token).toString()) : 0;
        for (;;) {
          orFail('page');
          const events = eventsOf(runId).slice(Math.max(0, from - overlap), from + pageSize);
          const end = Math.min(from + pageSize, eventsOf(runId).length);
          if (end > from) return { events, nextToken: Buffer.from(String(end)) };
          await nextChange(signal);
        }
      } finally {
        counts.open -= 1;
      }
    },
    async unpack(entry: Entry) {
      orFail('unpack');
      return entry;
    },
  };

  async function nextChange(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        wakes.delete(onWake);
        counts.aborted += 1;
        reject(signal.reason as Error);
      };
      const onWake = (): void => {
        wakes.delete(onWake);
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      if (signal.aborted) return onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      wakes.add(onWake);
    });
  }
}
