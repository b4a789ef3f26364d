/** When a process that died is started again. Pure. */

const FIRST_BACKOFF_MS = 250;
const LONGEST_BACKOFF_MS = 10_000;

/** A process that lived this long after it was ready died of something new: the count of its failures starts again. */
export const STABLE_MS = 10_000;

/** The pause before the next start after so many failures in a row: none after the first, then longer and longer. */
export function restartDelayMs(failures: number): number {
  if (failures <= 1) return 0;
  return Math.min(FIRST_BACKOFF_MS * 2 ** (failures - 2), LONGEST_BACKOFF_MS);
}
