/** The activities of a session: the operations under Temporal's heartbeats, cancellation and retries. */
import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { InterruptedError } from '../src/brain.ts';
import type { Draft, Entry } from '../src/log.ts';
import { HopelessError, messageOf, runUntil, type Attempt, type Operations } from '../src/operations.ts';
import type { Sessions } from '../src/session.ts';
import type { Carrier, SessionActivities } from './contract.ts';

const HEARTBEAT_MS = 1000;
/** Short operations end before it would be worth following the log for an interrupt. */
const WATCH_AFTER_MS = 100;

/** What the activities are made of. */
export interface ActivityDeps {
  readonly operations: Operations;
  readonly sessions: Sessions;
  readonly isAtHome: SessionActivities['isAtHome'];
  readonly seal: SessionActivities['seal'];
}

/** Makes the activities. */
export function createActivities({ operations, sessions, isAtHome, seal }: ActivityDeps): SessionActivities {
  return {
    brain: (input) =>
      carried(operations.think(input, attemptOf(sessions, input.sessionId, input.lostAttempts))),
    recall: (input) => carried(operations.recall(input, attemptOf(sessions, input.sessionId))),
    provision: (input) => carried(operations.provision(input, attemptOf(sessions, input.sessionId))),
    execute: (input) =>
      carried(operations.execute(input, attemptOf(sessions, input.sessionId, input.lostAttempts))),
    isAtHome,
    seal,
    release: ({ hand }) => operations.release(hand),
  };
}

async function carried(drafts: Promise<readonly Draft[]>): Promise<Carrier> {
  try {
    return { drafts: await drafts };
  } catch (error) {
    if (error instanceof HopelessError) throw ApplicationFailure.nonRetryable(error.message);
    throw error;
  }
}

/**
 * The attempt of the activity that runs here. Its signal aborts when the log itself says that the user interrupts,
 * which is quicker than Temporal's cancellation (that one rides on heartbeats) and is backed by it. Heartbeats carry
 * the attempt's number, for the workflow to know it when the worker is lost.
 */
function attemptOf(sessions: Sessions, sessionId: string, lostAttempts = 0): Attempt {
  const context = Context.current();
  const { cancellationSignal, info, log } = context;
  const interrupted = new AbortController();
  const lost = new AbortController();
  const onCancel = (): void => {
    const reason: unknown = cancellationSignal.reason;
    if (isUsersWish(reason)) interrupted.abort(new InterruptedError('cancelled'));
    else lost.abort(reason);
  };
  if (cancellationSignal.aborted) onCancel();
  else cancellationSignal.addEventListener('abort', onCancel, { once: true });
  if (lostAttempts > 0) interrupted.abort(new InterruptedError('interrupted'));

  return {
    number: lostAttempts + info.attempt,
    lost: lost.signal,
    async watch(run, whenLost) {
      // What a lost attempt left is not begun again only to be stopped.
      if (info.attempt > 1 && (await isInterrupted(sessions, sessionId)))
        interrupted.abort(new InterruptedError('interrupted'));
      const over = new AbortController();
      const beat = setInterval(() => context.heartbeat(info.attempt), HEARTBEAT_MS);
      const watch = setTimeout(() => {
        abortOnInterrupt(sessions, sessionId, { interrupted, over: over.signal }).catch((error: unknown) => {
          log.warn('the log could not be followed; an interrupt will take longer', {
            error: messageOf(error),
          });
        });
      }, WATCH_AFTER_MS);
      try {
        return await runUntil({ interrupted: interrupted.signal, lost: lost.signal }, run, whenLost);
      } finally {
        over.abort();
        clearInterval(beat);
        clearTimeout(watch);
      }
    },
  };
}

interface Watch {
  readonly interrupted: AbortController;
  readonly over: AbortSignal;
}

async function abortOnInterrupt(
  sessions: Sessions,
  sessionId: string,
  { interrupted, over }: Watch,
): Promise<void> {
  const { entries } = await sessions.follow(sessionId, over);
  if (await isInterrupted(sessions, sessionId)) return interrupted.abort(new InterruptedError('interrupted'));
  for await (const fresh of entries) {
    if (fresh.some(isEndingEvent)) return interrupted.abort(new InterruptedError('interrupted'));
  }
}

async function isInterrupted(sessions: Sessions, sessionId: string): Promise<boolean> {
  const { loop } = await sessions.getSession(sessionId, 'live');
  return loop.interrupts.length > 0 || loop.status === 'terminated';
}

function isEndingEvent({ event }: Entry): boolean {
  return event.type === 'user.interrupt' || event.type === 'session.status_terminated';
}

/** A worker that shuts down or lost its claim must not pass for a user's interrupt: another attempt takes over. */
function isUsersWish(reason: unknown): boolean {
  return reason instanceof CancelledFailure && reason.message === 'CANCELLED';
}
