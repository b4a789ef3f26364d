/** Suspends hands whose session has been at rest for long: a session that waits is a workflow and nothing else. */
import { sessionOfHandKey } from './hand-key.ts';
import type { HandRecord, ListableHands } from './hands/reap.ts';
import type { Logger } from './log-line.ts';
import { decide } from './loop.ts';
import { startRepeating } from './repeat.ts';
import { SessionGoneError, type Sessions, type SessionView } from './session.ts';

/** What the suspender is made of. */
export interface SuspenderDeps {
  readonly hands: ListableHands;
  readonly sessions: Sessions;
  readonly log: Logger;
  /** How long a session must have been at rest. */
  readonly idleMs: number;
}

/** Suspends what is due. */
export interface Suspender {
  /** One round; never two at once. Ends early when the signal aborts. */
  suspendIdle(nowMs: number, signal: AbortSignal): Promise<void>;
}

/** Rounds come so often within the time that a session must rest, but neither all the time nor too seldom. */
const ROUNDS = 10;
const SHORTEST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
/** A hand that does not answer must not hold up the others. */
const PATIENCE_MS = 30_000;

/** Looks at once and then again and again, until stopped. Several workers may do it side by side. 0 ms: never. */
export function startSuspender(deps: SuspenderDeps): { stop(): void } {
  const { idleMs, log } = deps;
  if (idleMs === 0) return { stop: () => undefined };
  const stopping = new AbortController();
  const suspender = createSuspender(deps);
  const repeating = startRepeating(
    () => suspender.suspendIdle(Date.now(), stopping.signal),
    Math.min(Math.max(idleMs / ROUNDS, SHORTEST_PAUSE_MS), LONGEST_PAUSE_MS),
    (error) =>
      log.warn('idle hands could not be looked for; it will be tried again', { error: String(error) }),
  );
  return {
    stop() {
      repeating.stop();
      stopping.abort(new Error('the worker stops'));
    },
  };
}

/** Makes the suspender. It remembers when a hand can be due at the earliest, and does not look before. */
export function createSuspender({ hands, sessions, log, idleMs }: SuspenderDeps): Suspender {
  let notBefore: ReadonlyMap<string, number> = new Map();
  let isAtWork = false;

  /** Suspends the hand if it is due. Answers when it can be so at the earliest. */
  async function look({ hand, key }: HandRecord, nowMs: number, signal: AbortSignal): Promise<number> {
    const session = sessionOfHandKey(key);
    try {
      const dueMs = dueAt(await sessions.getSession(session), nowMs, idleMs);
      if (dueMs > nowMs) return dueMs;
      const patience = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
      if (await hands.suspendIdle(hand, { quietMs: idleMs, signal: patience }))
        log.info('suspended an idle hand', { hand: hand.id, session });
    } catch (error) {
      // The hand of a session that is gone is the reaper's.
      if (!(error instanceof SessionGoneError) && !signal.aborted)
        log.warn('a hand could not be suspended; it will be tried again', {
          hand: hand.id,
          error: String(error),
        });
    }
    return nowMs + idleMs;
  }

  async function round(nowMs: number, signal: AbortSignal): Promise<void> {
    const next = new Map<string, number>();
    for (const record of await hands.listRunning()) {
      if (signal.aborted) return;
      const dueMs = notBefore.get(record.hand.id) ?? nowMs;
      next.set(record.hand.id, dueMs > nowMs ? dueMs : await look(record, nowMs, signal));
    }
    notBefore = next;
  }

  return {
    async suspendIdle(nowMs, signal) {
      if (isAtWork) return;
      isAtWork = true;
      try {
        await round(nowMs, signal);
      } finally {
        isAtWork = false;
      }
    },
  };
}

/** When the hand of a session can be due at the earliest: one that works now has its rest still to begin. */
function dueAt(view: SessionView, nowMs: number, idleMs: number): number {
  // The log does not say that a hand was tried for. That there is one does.
  const isAtRest = view.loop.status === 'idle' && decide({ ...view.loop, handTried: true }) === undefined;
  return (isAtRest ? Date.parse(view.updatedAt) : nowMs) + idleMs;
}
