/** A cursor that follows a session from home to home. What it gives is one sequence, wherever it was read. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Entry } from '../log.ts';
import { SessionGoneError } from '../session.ts';
import type { LogCursor } from './cursor.ts';
import { isSameHome, isSameStep, type Home } from './home.ts';

/** What it is made of. */
export interface RoutedCursorDeps {
  /** Where the session lives now. */
  readonly home: () => Promise<Home>;
  /** A cursor over the log as the engine there has it, before the first entry. */
  readonly cursorAt: (home: Home) => LogCursor;
}

/** A session on the move is looked for so often. */
const LOOK_AGAIN_MS = 20;
/** What has stopped may be taken elsewhere later: whoever comes after that looks again. */
const STOPPED_FOR_MS = 1000;

/** Where it reads. */
interface Place {
  readonly home: Home;
  readonly cursor: LogCursor;
}

/** Starts before the first entry. */
export function createRoutedCursor({ home, cursorAt }: RoutedCursorDeps): LogCursor {
  let place: Place | undefined;
  let given = 0;
  let isTerminated = false;
  /** When it was seen that what writes the log has stopped and nobody is taking it elsewhere. */
  let stoppedMs = Number.NEGATIVE_INFINITY;

  /** Asks where the session lives, and goes on there if that is somewhere else. */
  async function relocate(): Promise<Place> {
    const now = await home();
    const known = place && isSameHome(place.home, now) ? place.cursor : undefined;
    if (!known) stoppedMs = Number.NEGATIVE_INFINITY;
    place = { home: now, cursor: known ?? cursorAt(now) };
    return place;
  }

  /** What the engine there answers, wherever that is by then. `inBetween`: the session has not arrived yet. */
  async function there<T>(ask: (place: Place) => Promise<T>, inBetween: () => Promise<T>): Promise<T> {
    for (let at = place ?? (await relocate()); ;) {
      try {
        return await ask(at);
      } catch (error) {
        if (!(error instanceof SessionGoneError)) throw error;
        const now = await relocate();
        if (isSameStep(at.home, now.home)) {
          if (now.home.engine !== now.home.movingTo) throw error;
          return await inBetween();
        }
        at = now;
      }
    }
  }

  /** Each entry once: at another home it is read from the beginning. */
  function take(entries: readonly Entry[]): Entry[] {
    const fresh = entries.filter(({ position }) => position >= given);
    given += fresh.length;
    isTerminated ||= fresh.at(-1)?.event.type === 'session.status_terminated';
    return fresh;
  }

  const hasArchive = (): boolean => place !== undefined && given >= place.home.base;

  return {
    get closed() {
      return isTerminated ? place?.cursor.closed === true : Date.now() - stoppedMs < STOPPED_FOR_MS;
    },
    get pauseMs() {
      return place?.cursor.pauseMs ?? 0;
    },
    async next(signal) {
      const rest = async (): Promise<readonly Entry[]> => {
        await sleep(LOOK_AGAIN_MS, undefined, { signal });
        return [];
      };
      if (place?.cursor.closed === true && !isTerminated) {
        const { home, cursor } = await relocate();
        if (cursor.closed && home.movingTo !== undefined) return await rest();
        if (cursor.closed) {
          stoppedMs = Date.now();
          return [];
        }
      }
      const read = await there(({ cursor }) => cursor.next(signal), rest);
      // On Temporal a session that leaves closes its log. Here it only grows no more.
      if (read.length === 0 && place?.home.engine === 'log') await relocate();
      return take(read);
    },
    async mark() {
      await relocate();
      return await there(
        async ({ cursor }) => {
          const isReached = await cursor.mark();
          // Where it moves on before that is reached, all of it is in the archive.
          return () => (place?.cursor === cursor ? isReached() : hasArchive());
        },
        async () => hasArchive,
      );
    },
    async unpack(entry) {
      const { cursor } = place ?? (await relocate());
      return await cursor.unpack(entry);
    },
  };
}
