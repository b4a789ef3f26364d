/** One reading loop for any number of waiters: it runs while somebody waits, and only then. */

import { setTimeout as sleep } from 'node:timers/promises';

/** What is read, and when that is over. */
export interface Reading {
  /** Reads the next piece, waiting for it where there is none yet. */
  readMore(signal: AbortSignal): Promise<void>;
  /** Whether nothing more can come. */
  isOver(): boolean;
  /** A rest between two reads. */
  pauseMs(): number;
}

/** The loop. */
export interface Waiting {
  /** Reads until `isThere` holds, the reading is over, or the signal aborts; answers whether it holds. */
  until(isThere: () => boolean, signal: AbortSignal): Promise<boolean>;
  /** Whether somebody waits, so that what is read is as new as can be. */
  isLive(): boolean;
}

/** One for all: making an error each time is a good part of the cost of waiting. */
const NOBODY_WAITS = new Error('nobody waits any more');

interface Waiter {
  readonly isThere: () => boolean;
  readonly settle: (error?: unknown) => void;
}

/** Makes the loop. An error of `readMore` goes to everybody who waits; who waits next, tries again. */
export function createWaiting({ readMore, isOver, pauseMs }: Reading): Waiting {
  const waiters = new Set<Waiter>();
  let reading: AbortController | undefined;

  async function read(controller: AbortController): Promise<void> {
    try {
      while (waiters.size > 0 && !isOver() && !controller.signal.aborted) {
        await readMore(controller.signal);
        for (const waiter of waiters) if (isOver() || waiter.isThere()) waiter.settle();
        if (waiters.size > 0 && pauseMs() > 0) await sleep(pauseMs());
      }
    } catch (error) {
      if (!controller.signal.aborted) for (const waiter of waiters) waiter.settle(error);
    } finally {
      reading = undefined;
      if (waiters.size > 0) startReading();
    }
  }

  function startReading(): void {
    if (reading) return;
    reading = new AbortController();
    void read(reading);
  }

  async function until(isThere: () => boolean, signal: AbortSignal): Promise<boolean> {
    if (isThere()) return true;
    if (isOver() || signal.aborted) return false;
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => waiter.settle();
      const waiter: Waiter = {
        isThere,
        settle(error) {
          signal.removeEventListener('abort', onAbort);
          waiters.delete(waiter);
          if (error === undefined) resolve();
          else reject(error);
          if (waiters.size === 0) reading?.abort(NOBODY_WAITS);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      waiters.add(waiter);
      startReading();
    });
    return isThere();
  }

  return { until, isLive: () => waiters.size > 0 };
}
