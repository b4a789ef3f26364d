/** A cursor that follows a session from home to home. What it gives is one sequence, wherever it was read. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Entry } from '../log.ts';
import { DamagedLogError, HistoryGapError, LogReplacedError, SessionGoneError } from '../session.ts';
import type { LogCursor } from './cursor.ts';
import { isSameHome, isSameStep, type Home } from './home.ts';

/** What it is made of. */
export interface RoutedCursorDeps {
  /** Where the session lives now. */
  readonly home: () => Promise<Home>;
  /** A cursor over the log as the engine there has it, before the first entry. */
  readonly cursorAt: (home: Home) => LogCursor;
  /** Whether a session that was stopped from outside can be taken up again, so that more may follow. */
  readonly isRevivable: boolean;
  /** Told when the log has become shorter than what was given: this cursor is of no use any more. */
  readonly onCut: () => void;
}

/** A session on the move is looked for so often. */
const LOOK_AGAIN_MS = 20;
/** So is one that was stopped from outside and that nobody has taken up. */
const LOOK_SELDOM_MS = 250;
/** What has stopped may be taken elsewhere later: whoever comes after that looks again. */
const STOPPED_FOR_MS = 1000;

/** Where it reads. */
interface Place {
  readonly home: Home;
  readonly cursor: LogCursor;
  /** How much was in the archive when the cursor was made. */
  readonly base: number;
}

/** Follows the session to where it lives. */
interface Trail {
  readonly place: Place | undefined;
  /** When it was seen that what writes the log has stopped and nobody is taking it elsewhere. */
  stoppedMs: number;
  /** Asks where the session lives, and goes on there if that is somewhere else. */
  relocate(): Promise<Place>;
  /** What the engine there answers, wherever that is by then. `inBetween`: the session has not arrived yet. */
  there<T>(ask: (place: Place) => Promise<T>, inBetween: () => Promise<T>): Promise<T>;
}

/** `given`: how many entries have been given so far. */
function createTrail({ home, cursorAt, onCut }: RoutedCursorDeps, given: () => number): Trail {
  let place: Place | undefined;

  function begin(home: Home): Place {
    place = { home, cursor: cursorAt(home), base: home.base };
    return place;
  }

  const trail: Trail = {
    get place() {
      return place;
    },
    stoppedMs: Number.NEGATIVE_INFINITY,
    async relocate() {
      const now = await home();
      if (place && place.home.logId !== now.logId) {
        onCut();
        throw new LogReplacedError('the session was deleted, and another log has its id');
      }
      if (place && isSameHome(place.home, now)) {
        place = { ...place, home: now };
        return place;
      }
      // Its histories were lost with their server, and what was in the archive goes on.
      if (now.base < given()) {
        onCut();
        throw new DamagedLogError(`the log was lost from position ${now.base} on; ${given()} had been read`);
      }
      trail.stoppedMs = Number.NEGATIVE_INFINITY;
      return begin(now);
    },
    async there(ask, inBetween) {
      for (let at = place ?? (await trail.relocate()); ;) {
        try {
          return await ask(at);
        } catch (error) {
          if (!(error instanceof SessionGoneError || error instanceof HistoryGapError)) throw error;
          const now = await trail.relocate();
          if (isSameHome(at.home, now.home) && now.home.base > at.base) {
            // What was being read is in the archive by now, and need not be anywhere else any more.
            at = begin(now.home);
            continue;
          }
          if (now.home.base < at.base) throw new SessionGoneError('the session is gone, and its archive');
          if (isSameStep(at.home, now.home)) {
            if (now.home.engine !== now.home.movingTo) throw error;
            return await inBetween();
          }
          at = now;
        }
      }
    },
  };
  return trail;
}

/** Starts before the first entry. */
export function createRoutedCursor(deps: RoutedCursorDeps): LogCursor {
  const { isRevivable } = deps;
  let given = 0;
  let isTerminated = false;
  const trail = createTrail(deps, () => given);

  /** Each entry once: at another home it is read from the beginning. */
  function take(entries: readonly Entry[]): Entry[] {
    const fresh = entries.filter(({ position }) => position >= given);
    given += fresh.length;
    isTerminated ||= fresh.at(-1)?.event.type === 'session.status_terminated';
    return fresh;
  }

  /** What writes the log has ended, and the session has not: whether it is worth while to look again, and when. */
  async function lookAgainMs(): Promise<number | undefined> {
    const { home, cursor, base } = await trail.relocate();
    if (!cursor.closed) return 0;
    if (home.movingTo !== undefined) return LOOK_AGAIN_MS;
    if (!isRevivable) return undefined;
    // One that is deleted is gone, not stopped.
    await cursor.mark();
    if (home.base < base) throw new SessionGoneError('the session is gone, and its archive');
    return LOOK_SELDOM_MS;
  }

  const hasArchive = (): boolean => trail.place !== undefined && given >= trail.place.home.base;

  return {
    get closed() {
      return isTerminated
        ? trail.place?.cursor.closed === true
        : Date.now() - trail.stoppedMs < STOPPED_FOR_MS;
    },
    get pauseMs() {
      return trail.place?.cursor.pauseMs ?? 0;
    },
    async next(signal) {
      const rest = async (forMs = LOOK_AGAIN_MS): Promise<readonly Entry[]> => {
        await sleep(forMs, undefined, { signal });
        return [];
      };
      if (trail.place?.cursor.closed === true && !isTerminated) {
        const againMs = await lookAgainMs();
        if (againMs === undefined) trail.stoppedMs = Date.now();
        if (againMs !== 0) return againMs === undefined ? [] : await rest(againMs);
      }
      const read = await trail.there(
        ({ cursor }) => cursor.next(signal),
        () => rest(),
      );
      // On Temporal a session that leaves closes its log. Here it only grows no more.
      if (read.length === 0 && trail.place?.home.engine === 'log') await trail.relocate();
      return take(read);
    },
    async mark() {
      await trail.relocate();
      return await trail.there(
        async ({ cursor }) => {
          const isReached = await cursor.mark();
          // Where it moves on before that is reached, all of it is in the archive.
          return () => (trail.place?.cursor === cursor ? isReached() : hasArchive());
        },
        async () => hasArchive,
      );
    },
    async unpack(entry) {
      const { cursor } = trail.place ?? (await trail.relocate());
      return await cursor.unpack(entry);
    },
  };
}
