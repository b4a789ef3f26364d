/** Finishes or undoes what a process that died left half done: sessions being created, deleted, or moved. */
import type { Logger } from './log-line.ts';
import { startRepeating } from './repeat.ts';
import type { Records, SessionRow } from './records.ts';
import { SessionGoneError, type Sessions } from './session.ts';
import type { Moves } from './session/moves.ts';

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

/** Sweeps at once and then again and again, until stopped; and carries on the moves that others have begun. */
export function startSweeper(deps: SweeperDeps & { readonly moves: Pick<Moves, 'carryAll'> }): {
  stop(): void;
} {
  return startRepeating(
    async () => void (await Promise.all([sweep(deps), deps.moves.carryAll()])),
    EVERY_MS,
    (error) => deps.log.warn('a sweep failed; it will be tried again', { error: String(error) }),
  );
}

/** One sweep. `nowMs` is a parameter for tests. */
export async function sweep(
  { records, sessions, log }: SweeperDeps,
  nowMs: number = Date.now(),
): Promise<void> {
  // A row that fails must not keep the others waiting: it would fail first again at the next sweep.
  const each = async (
    rows: readonly SessionRow[],
    finish: (row: SessionRow) => Promise<void>,
  ): Promise<void> => {
    for (const row of rows) {
      await finish(row).catch((error: unknown) =>
        log.warn('a session could not be swept; it will be tried again', {
          id: row.id,
          error: String(error),
        }),
      );
    }
  };
  /** Content may be there before the log is. */
  const undo = async (row: SessionRow): Promise<void> => {
    await sessions.remove(row.id);
    await records.sessions.delete(row);
  };
  await each(await records.sessions.listByState('creating', MOST_AT_ONCE), async (row) => {
    if (Date.parse(row.createdAt) > nowMs - SETTLED_AFTER_MS) return;
    if (await hasLog(sessions, row)) await records.sessions.setState(row, 'ready', 'creating');
    else await undo(row);
  });
  await each(await records.sessions.listByState('deleting', MOST_AT_ONCE), undo);
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
