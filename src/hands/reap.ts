/** Finding hands that nobody needs any more: a session that is over, a worker that died while releasing. */
import type { HandRef, Hands } from '../hands.ts';

/** A hand that exists, dead or alive, and the key that it was provisioned under. */
export interface HandRecord {
  readonly hand: HandRef;
  readonly key: string;
}

/** Hands of a kind that can say which there are. */
export interface ListableHands extends Hands {
  list(): Promise<readonly HandRecord[]>;
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
