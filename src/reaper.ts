/** Frees hands whose session is over: its worker died before it could, or no worker was there. */
import { sessionOfHandKey } from './hand-key.ts';
import { reapHands, type HandRecord, type ListableHands } from './hands/reap.ts';
import type { Logger } from './log-line.ts';
import { startRepeating } from './repeat.ts';
import { SessionGoneError, type Sessions } from './session.ts';

/** What the reaper is made of. */
export interface ReaperDeps {
  readonly hands: ListableHands;
  readonly sessions: Sessions;
  readonly log: Logger;
}

const EVERY_MS = 60_000;

/** Reaps at once and then again and again, until stopped. Several workers may do it side by side. */
export function startReaper(deps: ReaperDeps): { stop(): void } {
  return startRepeating(
    () => reap(deps),
    EVERY_MS,
    (error) => deps.log.warn('hands could not be reaped; it will be tried again', { error: String(error) }),
  );
}

/** Releases every hand whose session is deleted or terminated. */
export async function reap({ hands, sessions, log }: ReaperDeps): Promise<void> {
  const released = await reapHands(hands, (record) => isWanted(sessions, record));
  for (const { hand } of released) log.info('released a hand that was left over', { hand: hand.id });
}

async function isWanted(sessions: Sessions, { key }: HandRecord): Promise<boolean> {
  try {
    const { terminatedAt } = await sessions.getSession(sessionOfHandKey(key));
    return terminatedAt === null;
  } catch (error) {
    if (error instanceof SessionGoneError) return false;
    throw error;
  }
}
