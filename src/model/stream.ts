/** Writes events to the wire in their own time. */
import { setTimeout } from 'node:timers/promises';
import type { TimedEvent } from './events.ts';
import type { Holds } from './holds.ts';

// The real API fills silence with pings; a harness that watches for a dead connection counts on them.
const PING_EVERY_MS = 5_000;

/** What ends a stream that does not end well: breaks the connection. Undefined where there is no connection. */
export type Cut = (() => Promise<void>) | undefined;

/** How a stream is to be written. */
export interface StreamOptions {
  /** Break off at the end instead of finishing. */
  readonly isCut: boolean;
  readonly cut: Cut;
  /** Without them, nothing is held. */
  readonly holds?: Holds;
  /** How long silence may last. */
  readonly pingEveryMs?: number;
}

/** A server-sent-events body. Cancelling it stops every pause at once. */
export function toBody(events: readonly TimedEvent[], options: StreamOptions): ReadableStream<Uint8Array> {
  const { isCut, cut, holds, pingEveryMs = PING_EVERY_MS } = options;
  const gone = new AbortController();
  const encoder = new TextEncoder();
  const frames = writeFrames(events, { holds, signal: gone.signal, pingEveryMs });
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { value, done } = await frames.next();
        if (gone.signal.aborted) return;
        if (done !== true) return controller.enqueue(encoder.encode(value));
        if (!isCut) return controller.close();
        if (cut === undefined) return controller.error(new TypeError('terminated'));
        await cut();
      },
      cancel() {
        gone.abort();
      },
    },
    // Nothing is made before it is asked for: a frame counts as sent once the next one is wanted.
    { highWaterMark: 0 },
  );
}

/** Waits; ends quietly and early when the signal says so. */
export async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  if (delayMs > 0 && !signal.aborted) await setTimeout(delayMs, undefined, { signal }).catch(() => undefined);
}

interface Pacing {
  readonly holds: Holds | undefined;
  readonly signal: AbortSignal;
  readonly pingEveryMs: number;
}

async function* writeFrames(events: readonly TimedEvent[], pacing: Pacing): AsyncGenerator<string, void> {
  const { signal, pingEveryMs } = pacing;
  for (const { event, delayMs, holds = [] } of events) {
    for (const name of holds) yield* pingUntilReleased(name, pacing);
    let left = delayMs;
    while (left > pingEveryMs && !signal.aborted) {
      await pause(pingEveryMs, signal);
      left -= pingEveryMs;
      yield frame({ type: 'ping' });
    }
    await pause(left, signal);
    if (signal.aborted) return;
    yield frame(event);
  }
}

async function* pingUntilReleased(
  name: string,
  { holds, signal, pingEveryMs }: Pacing,
): AsyncGenerator<string, void> {
  const over = new AbortController();
  const released = Promise.resolve(holds?.wait(name, signal)).then(() => over.abort());
  while (!over.signal.aborted) {
    await Promise.race([released, pause(pingEveryMs, over.signal)]);
    if (!over.signal.aborted) yield frame({ type: 'ping' });
  }
}

function frame(event: { readonly type: string }): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}
