/** Sessions on several engines: each operation goes to where the session lives when it is asked for. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SessionBusyError } from '../session.ts';
import { LogClosedError, type Backend } from './backend.ts';
import { BORN_ON_TEMPORAL, isSameStep, type EngineName, type Home } from './home.ts';
import { createRoutedCursor } from './routed-cursor.ts';

/** What it is made of. */
export interface RoutedBackendDeps {
  /**
   * Where a session lives; never remembered, because others may move it.
   *
   * @throws {SessionGoneError}
   */
  readonly homeOf: (id: string) => Promise<Home>;
  /** What the engine there does for its log. */
  readonly backendAt: (home: Home) => Backend;
  /** Where sessions are born. */
  readonly birthplace: EngineName;
  /** Erases a session wherever there is something of it. */
  readonly remove: Backend['remove'];
  /** Told that a session's log has become shorter than what was read of it. */
  readonly onCut: (id: string) => void;
  /** Whether sessions that were stopped from outside can be taken up again. */
  readonly isRevivable: boolean;
  /** Has a session that was stopped from outside go on. Answers whether it may. */
  readonly revive: (id: string) => Promise<boolean>;
  /** Told of a session that somebody has to wait for because it is between two homes. */
  readonly awaited: (id: string) => void;
}

const PATIENCE_MS = 15_000;
const TRY_AGAIN_MS = 20;

/** Makes the backend. */
export function createRoutedBackend(deps: RoutedBackendDeps): Backend {
  const { homeOf, backendAt, birthplace, remove, revive, awaited } = deps;

  /** A write that falls into a move has not happened, and is done at the next home. */
  async function write(id: string, act: (backend: Backend) => Promise<void>): Promise<void> {
    for (const deadline = Date.now() + PATIENCE_MS; ;) {
      const home = await homeOf(id);
      try {
        return await act(backendAt(home));
      } catch (error) {
        if (!(error instanceof LogClosedError)) throw error;
        const now = await homeOf(id);
        if (isSameStep(home, now)) {
          if (now.movingTo === undefined && Date.now() < deadline && (await revive(id))) continue;
          if (now.movingTo === undefined) throw error;
          if (Date.now() > deadline)
            throw new SessionBusyError(`session ${id} is being moved to the ${now.movingTo} engine`, {
              cause: error,
            });
          awaited(id);
          await sleep(TRY_AGAIN_MS);
        }
      }
    }
  }

  return {
    start: (id, seed, drafts) =>
      backendAt({ ...BORN_ON_TEMPORAL, engine: birthplace }).start(id, seed, drafts),
    emit: (id, drafts) => write(id, (backend) => backend.emit(id, drafts)),
    wake: (id) => write(id, (backend) => backend.wake(id)),
    remove,
    cursor: (id) =>
      createRoutedCursor({
        home: () => homeOf(id),
        cursorAt: (home) => backendAt(home).cursor(id),
        isRevivable: deps.isRevivable,
        onCut: () => deps.onCut(id),
      }),
  };
}
