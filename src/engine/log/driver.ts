/**
 * Works on one session for as long as this harness has its lease: the interpreter of `src/loop.ts` on the log engine.
 * Each activation is one conditional append. When somebody else has written meanwhile, nothing of it has happened,
 * and the loop is asked anew. Everything here may be lost at any moment; the log says how to go on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../log-line.ts';
import { closed, ended, fold, isBusy, type LoopState } from '../../loop/state.ts';
import { messageOf, type Operations } from '../../operations.ts';
import { SessionGoneError } from '../../session.ts';
import { range } from '../../session/kept-log.ts';
import type { Reader } from '../../session/reader.ts';
import { draftOf } from '../../view.ts';
import { createRunning } from './carry-out.ts';
import { callOf, plan, type Plan, type Result } from './plan.ts';
import type { CarrierRow, Claim, Lease, LogStore } from './store.ts';

/** What a driver works with. */
export interface DriverDeps {
  readonly store: LogStore;
  readonly operations: Operations;
  readonly readerOf: (sessionId: string) => Reader;
  /** Tells readers of this process, and announces to others, what was written. */
  readonly wrote: (sessionId: string, carrier: CarrierRow | undefined) => void;
  /** A session is at rest, or over. */
  readonly rests: (log: RestingLog, isOver: boolean) => void;
  /** A session's log is not to be read here any more. */
  readonly forget: (sessionId: string) => void;
  readonly newId: () => string;
  readonly log: Logger;
}

/** A log at rest. */
export interface RestingLog {
  readonly sessionId: string;
  readonly logId: string | null;
  readonly length: number;
}

/** A session at work. */
export interface Driver {
  /** How long the log is as far as this driver knows. */
  readonly length: number;
  /** Whether nothing is to be done as far as this driver knows. */
  readonly isAtRest: boolean;
  /** Somebody else may have written. */
  nudge(): void;
  /** Gives the session back at once if it is at rest. */
  letGo(): void;
  /** Gives the session up, for another harness to go on with. Resolves when it is given back. */
  giveUp(): Promise<void>;
  /** Resolves when the session is no longer this driver's. */
  readonly over: Promise<void>;
}

/** A session at rest is kept so long: its next turn needs no new lease. */
const LINGER_MS = 10_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;

/** The lease is gone, or about to be. */
class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';
}

/** Starts to work. */
export function startDriver(lease: Claim, deps: DriverDeps): Driver {
  const { store, operations, log } = deps;
  const { sessionId, head } = lease;
  const lost = new AbortController();
  const work = createWork(lease, { ...deps, lost: lost.signal });

  /** Works until the session is released or lost; whatever else goes wrong is tried again. */
  async function drive(): Promise<void> {
    for (let failures = 0; ; failures += 1) {
      try {
        const rest = await work.untilRest();
        if (rest.finish) return await finish(rest.state);
        if (await store.release(lease, { length: work.length, due: false, lost: false })) {
          if (rest.leaves) deps.wrote(sessionId, undefined);
          return;
        }
        work.nudge();
      } catch (error) {
        if (lost.signal.aborted || error instanceof LeaseLostError || error instanceof SessionGoneError)
          return lost.abort(error);
        const fields = { session: sessionId, error: messageOf(error) };
        log.warn('a session could not be worked on; it will be tried again', fields);
        work.nudge();
        await sleep(Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS));
      }
    }
  }

  /** The session is over: its hand is freed, and nobody has to look at it any more. */
  async function finish({ hand }: LoopState): Promise<void> {
    if (hand) {
      await operations.release(hand).catch((error: unknown) => {
        const fields = { hand: hand.id, error: messageOf(error) };
        log.warn('the hand could not be released; the reaper will take it', fields);
      });
    }
    await store.release(lease, { length: work.length, due: false, lost: false });
    // One that is deleted may be taken in again from a file.
    deps.forget(sessionId);
    deps.wrote(sessionId, undefined);
    deps.rests({ sessionId, logId: head.logId, length: work.length }, true);
  }

  const over = drive();
  return {
    get length() {
      return work.length;
    },
    get isAtRest() {
      return work.isAtRest;
    },
    nudge: () => work.nudge(),
    letGo: () => work.letGo(),
    async giveUp() {
      const { isBusy: wasBusy } = work;
      lost.abort(new LeaseLostError('the harness stops'));
      await over;
      // It may have taken something up meanwhile.
      const { length, isAtRest } = work;
      if (isAtRest && (await store.release(lease, { length, due: false, lost: false }))) return;
      await store.release(lease, { length, due: true, lost: wasBusy });
    },
    over,
  };
}

interface Work {
  readonly length: number;
  /** Whether nothing is to be done as far as is known. */
  readonly isAtRest: boolean;
  /** Whether operations are under way. */
  readonly isBusy: boolean;
  nudge(): void;
  letGo(): void;
  /** Works until nothing has been to do for a while, or the session is over. Can be called again, also after it failed. */
  untilRest(): Promise<Plan>;
}

function createWork(lease: Claim, deps: DriverDeps & { lost: AbortSignal }): Work {
  const { store, wrote, rests, newId, lost } = deps;
  const { sessionId, head } = lease;
  const reader = deps.readerOf(sessionId);
  const inbox: Result[] = [];
  const arrivals = createArrivals(lost);
  const running = createRunning({
    ...deps,
    sessionId,
    index: reader.index,
    onResult(result) {
      inbox.push(result);
      arrivals.add();
    },
  });
  let state: LoopState | undefined;
  let length = 0;
  let attempts = head.losses;
  /** What the head says of the work, as far as this driver has said it. */
  let told: 'nothing' | 'working' | 'resting' = 'nothing';
  /** Whether the log may be longer than is known here. */
  let isStale = true;
  let [isLeaving, isTakeover] = [false, head.losses > 0];

  /** Takes in what others have written. */
  async function catchUp(): Promise<LoopState> {
    isStale = false;
    const read = await readOn({ lease, store, reader, lost }, state, length);
    let next = read.state;
    ({ isLeaving, length } = read);
    // Somebody asks, and may find that nothing is to be done: that has to be said again.
    if (read.due && told === 'resting') told = 'nothing';
    for (const { operation } of takeWritten(inbox, reader))
      next = ended(next, operation.kind, callOf(operation));
    return next;
  }

  /** One activation. Answers what came of it, or undefined where it has to be done again. */
  async function activate(): Promise<Plan | undefined> {
    if (isStale || state === undefined) state = await catchUp();
    const nowMs = Date.now();
    const results = [...inbox];
    const planned = plan({ state, results, isLeaving, isTakeover }, { newId, nowMs: () => nowMs });
    const { drafts } = planned;
    const working = planned.finish || isBusy(planned.state);
    if (drafts.length > 0 || told !== (working ? 'working' : 'resting')) {
      const write = { expected: length, drafts, nowUs: nowMs * 1000, working };
      const before = told;
      // Where the answer is lost, nobody knows what has been said.
      told = 'nothing';
      const written = await store.append(lease, write);
      if ('refused' in written) {
        told = before;
        if (written.refused === 'fenced') throw new LeaseLostError('another harness has the session');
        isStale = true;
        return undefined;
      }
      told = working ? 'working' : 'resting';
      if (drafts.length > 0) attempts = 0;
      wrote(sessionId, written.ok);
    }
    // Where this fails nothing has happened here, and the log is read like somebody else's.
    await reader.until(() => reader.index.length >= length + drafts.length, lost);
    length += drafts.length;
    state = planned.state;
    isTakeover = false;
    inbox.splice(0, results.length);
    return planned;
  }

  return {
    get length() {
      return length;
    },
    nudge() {
      isStale = true;
      arrivals.add();
    },
    letGo: () => arrivals.cutShort(),
    get isAtRest() {
      return told === 'resting' && running.size === 0 && inbox.length === 0;
    },
    get isBusy() {
      return running.size > 0;
    },
    async untilRest() {
      for (;;) {
        const seen = arrivals.count;
        const planned = await activate();
        if (!planned) continue;
        running.follow(planned, attempts + 1);
        if (planned.finish || planned.leaves) return planned;
        const isAtWork = isBusy(planned.state);
        if (!isAtWork) rests({ sessionId, logId: head.logId, length }, false);
        if (!(await arrivals.after(seen, isAtWork ? undefined : LINGER_MS))) return planned;
      }
    },
  };
}

interface Reading {
  readonly lease: Lease;
  readonly store: LogStore;
  readonly reader: Reader;
  readonly lost: AbortSignal;
}

interface Read {
  readonly state: LoopState;
  /** How many entries it is of. */
  readonly length: number;
  readonly due: boolean;
  readonly isLeaving: boolean;
}

/** Reads the log to its end and folds what stands behind `length` into what is known, or all of it. */
async function readOn(
  { lease, store, reader, lost }: Reading,
  known: LoopState | undefined,
  length: number,
): Promise<Read> {
  // What was read of another log under this id, in this process, must not be taken for this one's.
  if (known === undefined) await reader.sync();
  const head = await store.head(lease.sessionId);
  if (head?.epoch !== lease.epoch) throw new LeaseLostError('another harness has the session');
  const isRead = (): boolean => reader.view !== undefined && reader.view.length >= head.length;
  await reader.until(isRead, lost);
  lost.throwIfAborted();
  // The reader may go on meanwhile: all that follows is about the log as this view knows it.
  const { view } = reader;
  if (!view) throw new SessionGoneError(`no session ${lease.sessionId}`);
  if (view.length < head.length) throw new Error('the log could not be read to its end');
  const state =
    known === undefined
      ? view.loop
      : (await reader.at(range(length, view.length))).reduce((folded, entry) => {
          const at = entry.event.processed_at;
          return fold(folded, [draftOf(entry)], at === null ? folded.clockMs : Date.parse(at));
        }, known);
  return {
    state: head.state === 'closing' ? closed(state) : state,
    length: view.length,
    due: head.due,
    isLeaving: head.place === 'leaving',
  };
}

/** Takes out the results that are in the log already: the answer to their append was lost. */
function takeWritten(inbox: Result[], reader: Reader): Result[] {
  const isWritten = ({ drafts: [first] }: Result): boolean =>
    first !== undefined && 'event' in first && reader.has(first.event.id);
  const written = inbox.filter(isWritten);
  inbox.splice(0, inbox.length, ...inbox.filter((result) => !isWritten(result)));
  return written;
}

interface Arrivals {
  readonly count: number;
  add(): void;
  /** Ends a wait that has a limit as if that had passed. */
  cutShort(): void;
  /** Waits until more than `seen` have arrived; false when none has for so long. Rejects when the lease is lost. */
  after(seen: number, withinMs: number | undefined): Promise<boolean>;
}

function createArrivals(lost: AbortSignal): Arrivals {
  let count = 0;
  let wake: () => void = () => undefined;
  let isLimited = false;
  lost.addEventListener('abort', () => wake(), { once: true });
  return {
    get count() {
      return count;
    },
    add() {
      count += 1;
      wake();
    },
    cutShort() {
      if (isLimited) wake();
    },
    async after(seen, withinMs) {
      isLimited = withinMs !== undefined;
      if (count === seen && !lost.aborted) {
        await new Promise<void>((resolve) => {
          const timer = withinMs === undefined ? undefined : setTimeout(resolve, withinMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      isLimited = false;
      lost.throwIfAborted();
      return count !== seen;
    },
  };
}
