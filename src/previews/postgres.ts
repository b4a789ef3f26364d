/**
 * Previews over NOTIFY, for any number of API and worker processes. A receiver says what it watches, and says it again
 * as long as it does; a sender batches what somebody watches, for each receiver on a channel of its own.
 *
 * A preview has no holes (wire-api 12.1), and here messages get lost at either end: frames of a span are numbered, and
 * a receiver that misses one shows no more of that span.
 */
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { Listener } from '../postgres/listener.ts';
import type { PreviewMessage, PreviewReceiver, PreviewSender } from '../previews.ts';
import { announcements, createInterest, type Announcement } from './interest.ts';
import { createAssembler, createCutter } from './pieces.ts';

/** Receivers say here what they watch; senders listen. */
const INTEREST = 'drover_preview_interest';
/** Senders that begin to listen ask here for what is watched; receivers listen. */
const QUESTIONS = 'drover_preview_questions';
const FRAMES = 'drover_previews_';

/** How often receivers repeat themselves, when senders forget them, and for how long frames are gathered. */
export interface Timing {
  readonly repeatMs: number;
  readonly silentMs: number;
  readonly batchMs: number;
}

const TIMING: Timing = { repeatMs: 5_000, silentMs: 16_000, batchMs: 10 };
/** Nobody waits longer for previews. */
const FLUSHED_WITHIN_MS = 200;
/** While the database is slow, frames gather; beyond this they are lost. */
const MOST_GATHERED = 4 * 1024 * 1024;
/** More than a process has model requests under way. */
const SPANS_REMEMBERED = 2000;
/** No frame has this number: nothing more of the span is shown. */
const BROKEN = -1;

/** A frame on its way: session, span, its number within the span, and itself. */
type Numbered = readonly [string, string, number, PreviewMessage['frame']];

/** The receiving end of an API process. The listener stays the caller's. */
export function receivePostgresPreviews(listener: Listener, timing: Timing = TIMING): PreviewReceiver {
  const id = newName();
  const listeners = new Map<string, Set<(message: PreviewMessage) => void>>();
  const expected = new LRUCache<string, number>({ max: SPANS_REMEMBERED });
  const assemble = createAssembler();
  const cut = createCutter(id);
  const changed = new Set<string>();
  let announcing: NodeJS.Immediate | undefined;

  const announce = async (announcement: Announcement): Promise<void> => {
    const payloads = cut(JSON.stringify(announcement));
    // What is lost here is said again soon.
    await listener.notify(payloads.map((payload) => ({ channel: INTEREST, payload }))).catch(() => undefined);
  };
  const announceAll = (): void => {
    if (listeners.size > 0) void announce({ watch: [...listeners.keys()] });
  };
  const announceChange = (sessionId: string): void => {
    changed.add(sessionId);
    announcing ??= setImmediate(() => {
      announcing = undefined;
      const watch = [...changed].filter((one) => listeners.has(one));
      const unwatch = [...changed].filter((one) => !listeners.has(one));
      changed.clear();
      void announce({ watch, unwatch });
    });
  };
  const isNext = (key: string, number: number): boolean => {
    const fits = number === (expected.get(key) ?? 0);
    expected.set(key, fits ? number + 1 : BROKEN);
    return fits;
  };
  const hear = (payload: string): void => {
    const batch = assemble(payload);
    if (!Array.isArray(batch?.value)) return;
    for (const [sessionId, spanId, number, frame] of batch.value.filter(isNumbered)) {
      // Also of what nobody listens to any more: somebody may again.
      if (!isNext(`${batch.from} ${spanId}`, number)) continue;
      for (const tell of listeners.get(sessionId) ?? []) tell({ sessionId, spanId, frame });
    }
  };

  const stops = [
    listener.listen(`${FRAMES}${id}`, hear, announceAll),
    listener.listen(QUESTIONS, announceAll),
  ];
  const repeating = setInterval(announceAll, timing.repeatMs);

  return {
    listen(sessionId, tell) {
      const all = listeners.get(sessionId) ?? new Set();
      if (all.size === 0) {
        listeners.set(sessionId, all);
        announceChange(sessionId);
      }
      all.add(tell);
      return () => {
        all.delete(tell);
        if (all.size > 0 || listeners.get(sessionId) !== all) return;
        listeners.delete(sessionId);
        announceChange(sessionId);
      };
    },
    async close() {
      clearInterval(repeating);
      clearImmediate(announcing);
      for (const stop of stops) stop();
      listeners.clear();
      await announce({ gone: true });
    },
  };
}

/** The sending end of a worker process. The listener stays the caller's. */
export function sendPostgresPreviews(listener: Listener, timing: Timing = TIMING): PreviewSender {
  const interest = createInterest(timing.silentMs);
  const numbers = new LRUCache<string, number>({ max: SPANS_REMEMBERED });
  const assemble = createAssembler();
  const cut = createCutter(newName());
  let gathered = new Map<string, string[]>();
  let size = 0;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  let flushing: Promise<void> = Promise.resolve();
  const flushNow = async (): Promise<void> => {
    clearTimeout(timer);
    const all = [...gathered].flatMap(([receiver, frames]) =>
      cut(`[${frames.join(',')}]`).map((payload) => ({ channel: `${FRAMES}${receiver}`, payload })),
    );
    gathered = new Map();
    size = 0;
    // What is lost here is missed by its number.
    if (all.length > 0) await listener.notify(all).catch(() => undefined);
    timer = undefined;
    if (gathered.size > 0) flushSoon();
  };
  /** One after another. */
  const flush = (): Promise<void> => (flushing = flushing.then(flushNow));
  const flushSoon = (): void => {
    if (!closed) timer ??= setTimeout(() => void flush(), timing.batchMs);
  };

  const stop = listener.listen(
    INTEREST,
    (payload) => {
      const batch = assemble(payload);
      const announcement = announcements.safeParse(batch?.value).data;
      if (batch && announcement) interest.hear(batch.from, announcement, performance.now());
    },
    () => void listener.notify([{ channel: QUESTIONS, payload: newName() }]).catch(() => undefined),
  );

  return {
    send({ sessionId, spanId, frame }) {
      // Every frame counts, also one that is not sent.
      const number = numbers.get(spanId) ?? 0;
      numbers.set(spanId, number + 1);
      const receivers = interest.watching(sessionId, performance.now());
      if (closed || receivers.length === 0 || size > MOST_GATHERED) return;
      const text = JSON.stringify([sessionId, spanId, number, frame] satisfies Numbered);
      for (const receiver of receivers) {
        const frames = gathered.get(receiver) ?? [];
        frames.push(text);
        gathered.set(receiver, frames);
        size += text.length;
      }
      flushSoon();
    },
    async flush() {
      const late = sleep(FLUSHED_WITHIN_MS, undefined, { ref: false });
      await Promise.race([gathered.size > 0 ? flush() : flushing, late]);
    },
    close() {
      closed = true;
      clearTimeout(timer);
      stop();
    },
  };
}

/** Whoever may use the database may say anything on its channels. */
function isNumbered(value: unknown): value is Numbered {
  return Array.isArray(value) && typeof value[3] === 'object' && value[3] !== null;
}

function newName(): string {
  return randomBytes(8).toString('hex');
}
