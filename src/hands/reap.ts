/**
 * Hands as a whole: which there are. Needed to find those that nobody needs any more (a session that is over, a worker
 * that died while releasing), to stop those that nobody uses, and to stop all of them with the server.
 */
import type { HandRef, Hands } from '../hands.ts';
import type { IdleOptions } from './idle.ts';

/** A hand that exists, dead or alive, and the key that it was provisioned under. */
export interface HandRecord {
  readonly hand: HandRef;
  readonly key: string;
}

/** Hands of a kind that can say which there are, suspended ones too. */
export interface ListableHands extends Hands {
  list(): Promise<readonly HandRecord[]>;
  /** Those of them that run now: neither dead nor suspended. */
  listRunning(): Promise<readonly HandRecord[]>;
  /**
   * Suspends a hand that nobody uses: no call is under way in it, and none was for `quietMs`, its start included. Its
   * files stay, as with `suspendAll`; what calls have left running in the background is ended. Answers whether it was
   * suspended: false where it is in use, does not run, or is of a time before hands could be asked.
   *
   * Safe at any moment and from any number of processes, also while others provision, execute and release. A call that
   * comes at the same moment is carried out once, before or after, and its caller notices nothing but the time it takes.
   * Safe to repeat, also after a rejection and after the death of whoever asked: the hand is then suspended or goes on.
   * Rejects when the hand cannot be asked, and with the reason of the signal.
   *
   * An implementer must never start a hand for this, and never end one because of what was true a moment ago: whether a
   * call has come since, only the hand itself knows.
   */
  suspendIdle(hand: HandRef, options: IdleOptions): Promise<boolean>;
  /**
   * Stops the processes of all hands; their files stay. The next `execute` or `provision` starts such a hand again
   * under the same reference, with a fresh shell; what ran in it has an unknown outcome. No worker may be at work.
   * Rejects when not all could be suspended, or the signal aborts; those that were are suspended all the same.
   */
  suspendAll(signal: AbortSignal): Promise<void>;
}

/**
 * Releases the hands that `isWanted` says no to, and returns them. A hand that is just being provisioned is listed
 * too: say yes to every key that a hand may still be made for.
 */
export async function reapHands(
  hands: ListableHands,
  isWanted: (record: HandRecord) => boolean | Promise<boolean>,
): Promise<readonly HandRecord[]> {
  const released: HandRecord[] = [];
  for (const record of await hands.list()) {
    if (await isWanted(record)) continue;
    await hands.release(record.hand);
    released.push(record);
  }
  return released;
}
