/**
 * Hands as a whole: which there are. Needed to find those that nobody needs any more (a session that is over, a worker
 * that died while releasing), and to stop all of them with the server.
 */
import type { HandRef, Hands } from '../hands.ts';

/** A hand that exists, dead or alive, and the key that it was provisioned under. */
export interface HandRecord {
  readonly hand: HandRef;
  readonly key: string;
}

/** Hands of a kind that can say which there are, suspended ones too. */
export interface ListableHands extends Hands {
  list(): Promise<readonly HandRecord[]>;
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
