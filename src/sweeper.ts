/** Finishes or undoes what a process that died left half done: sessions being created, sessions being deleted. */
import type { Logger } from './log-line.ts';
import type { Records, SessionRow } from './records.ts';
import { SessionGoneError, type Sessions } from './session.ts';

/** What the sweeper is made of. */
export interface SweeperDeps {
  readonly records: Records;
  readonly sessions: Sessions;
  readonly log: Logger;
}

const EVERY_MS = 30_000;
/** Younger rows belong to requests that are still being served. */
const SETTLED_AFTER_MS = 60_000;
const MOST_AT_ONCE = 100;

/** Sweeps at once and then again and again, until stopped. */
export function startSweeper(deps: SweeperDeps): { stop(): void } {
  const sweepAndLog = (): void => {
    sweep(deps).catch((error: unknown) =>
      deps.log.warn('a sweep failed; it will be tried again', { error: String(error) }),
    );
  };
  sweepAndLog();
  const timer = setInterval(sweepAndLog, EVERY_MS);
  return { stop: () => clearInterval(timer) };
}

/** One sweep. `nowMs` is a parameter for tests. */
export async function sweep({ records, sessions }: SweeperDeps, nowMs: number = Date.now()): Promise<void> {
  for (const row of await records.sessions.listByState('creating', MOST_AT_ONCE)) {
    if (Date.parse(row.createdAt) > nowMs - SETTLED_AFTER_MS) continue;
    if (await hasLog(sessions, row)) await records.sessions.setState(row, 'ready', 'creating');
    else await records.sessions.delete(row);
  }
  for (const row of await records.sessions.listByState('deleting', MOST_AT_ONCE)) {
    await sessions.remove(row.id);
    await records.sessions.delete(row);
  }
}

async function hasLog(sessions: Sessions, { id }: SessionRow): Promise<boolean> {
  try {
    await sessions.getSession(id);
    return true;
  } catch (error) {
    if (error instanceof SessionGoneError) return false;
    throw error;
  }
}
