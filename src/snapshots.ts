/**
 * The files of a session's hand across operations: kept after each call that may have changed them, and laid out again
 * in the first hand of a fork. A snapshot is an extra: that there is none never fails a call.
 */
import { InterruptedError } from './brain.ts';
import { HandGoneError, type HandRef, type Hands } from './hands.ts';
import type { Draft, HandSnapshot } from './log.ts';
import type { Logger } from './log-line.ts';
import type { Sessions } from './session.ts';
import { NoSnapshotError, SNAPSHOT_LIMITS, type SnapshotStore } from './snapshot.ts';

/** What they are made of. */
export interface SnapshotDeps {
  readonly sessions: Sessions;
  readonly hands: Hands;
  readonly storeOf: (sessionId: string) => SnapshotStore;
  /** Whether snapshots are taken. Those that there are can be restored all the same. */
  readonly areTaken: boolean;
  readonly newId: () => string;
  readonly log: Pick<Logger, 'warn'>;
}

/** A call that has ended in a hand. */
export interface EndedCall {
  readonly sessionId: string;
  readonly callId: string;
  readonly hand: HandRef;
  /** Aborts when the user interrupts. */
  readonly signal: AbortSignal;
}

/** The two things that are done with snapshots. */
export interface Snapshots {
  /** Takes a snapshot, and answers what is to be noted behind the call's result. Never rejects. */
  after(call: EndedCall): Promise<Draft>;
  /**
   * Makes the workspace of a hand that was just made what the log wants it to begin with, and answers the snapshot that
   * this was; null: it stays empty. Safe to repeat until the hand is in the log. Throws where it cannot be done.
   */
  restore(sessionId: string, hand: HandRef, signal: AbortSignal): Promise<string | null>;
}

/** How long a snapshot may hold up the turn. */
const PATIENCE_MS = 20_000;
/** Whoever interrupts waits for the end of the turn. */
const INTERRUPTED_PATIENCE_MS = 2000;
const LONGEST_REASON = 500;
/** What a store or a line says of its trouble is for whoever looks after the server. */
const UNEXPLAINED = 'the snapshot could not be kept';

/** Binds the ports. */
export function createSnapshots(deps: SnapshotDeps): Snapshots {
  const { sessions, hands, storeOf, areTaken, newId, log } = deps;

  /** Has what the store is given counted against what a session may keep. Asked only when something new comes. */
  function bounded(sessionId: string): SnapshotStore {
    const store = storeOf(sessionId);
    let left: number | undefined;
    return {
      ...store,
      async put(contents) {
        left ??= SNAPSHOT_LIMITS.sessionBytes - (await keptBytes(sessions, sessionId));
        left -= contents.reduce((sum, { length }) => sum + length, 0);
        if (left < 0)
          throw new NoSnapshotError(
            `the snapshots of this session have reached ${SNAPSHOT_LIMITS.sessionBytes / 2 ** 30} GiB`,
          );
        await store.put(contents);
      },
    };
  }

  return {
    async after({ sessionId, callId, hand, signal }) {
      const noted = { id: newId(), type: 'x.hand_snapshot', hand_id: hand.id, tool_use_id: callId } as const;
      const none = (reason: string): Draft => ({ event: { ...noted, reason } satisfies HandSnapshot });
      if (!areTaken) return none('snapshots were switched off (DROVER_SNAPSHOTS)');
      try {
        const patience = withPatience(signal);
        const { id, bytes, addedBytes, takenUs } = await hands.snapshot(hand, bounded(sessionId), {
          signal: patience,
        });
        const numbers = { bytes, added_bytes: addedBytes, taken_us: takenUs };
        return { event: { ...noted, snapshot: id, ...numbers } satisfies HandSnapshot };
      } catch (error) {
        const reason = reasonOf(error);
        if (reason === UNEXPLAINED)
          log.warn('a snapshot could not be kept', { session: sessionId, error: String(error) });
        return none(reason);
      }
    },

    async restore(sessionId, hand, signal) {
      const [last] = await sessions.getEvents(sessionId, {
        types: ['x.session_forked', 'x.hand_provisioned'],
        order: 'desc',
        limit: 1,
      });
      if (last?.event.type !== 'x.session_forked' || last.event.snapshot === undefined) return null;
      const { snapshot } = last.event;
      await hands.restore(hand, snapshot, storeOf(sessionId), { signal });
      return snapshot;
    },
  };
}

/** What the session's snapshots take up by its log: what came before it was forked is another one's. */
async function keptBytes(sessions: Sessions, sessionId: string): Promise<number> {
  const entries = await sessions.getEvents(sessionId, { types: ['x.session_forked', 'x.hand_snapshot'] });
  let kept = 0;
  for (const { event } of entries) {
    if (event.type === 'x.session_forked') kept = event.added_bytes ?? 0;
    if (event.type === 'x.hand_snapshot' && 'snapshot' in event) kept += event.added_bytes;
  }
  return kept;
}

/** A call that was interrupted is looked at too, for a shorter time; an interrupt during the look ends it soon. */
function withPatience(interrupted: AbortSignal): AbortSignal {
  const wasInterrupted = interrupted.aborted;
  const late = AbortSignal.timeout(wasInterrupted ? INTERRUPTED_PATIENCE_MS : PATIENCE_MS);
  return wasInterrupted ? late : AbortSignal.any([interrupted, late]);
}

function reasonOf(error: unknown): string {
  if (error instanceof NoSnapshotError) return error.message.slice(0, LONGEST_REASON);
  if (error instanceof HandGoneError) return 'the sandbox was lost';
  if (error instanceof InterruptedError) return 'it was interrupted';
  if (error instanceof DOMException && error.name === 'TimeoutError') return 'it took too long';
  return UNEXPLAINED;
}
