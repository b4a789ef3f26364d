/** Port: what an engine does for a session's log. `sessions.ts` makes the session port of it, the same for all engines. */
import type { Draft } from '../log.ts';
import type { SessionSeed } from '../session.ts';
import type { LogCursor } from './cursor.ts';

/** The log takes no more events, or is not there. */
export class LogClosedError extends Error {
  override readonly name = 'LogClosedError';
}

/** The port. Content that is too heavy has been taken out of all drafts. */
export interface Backend {
  /** Starts a session. Idempotent. */
  start(id: string, seed: SessionSeed, drafts: { created: Draft[]; initial: Draft[] }): Promise<void>;
  /**
   * Writes client events durably, all or none. Safe to repeat.
   *
   * @throws {LogClosedError}
   */
  emit(id: string, drafts: readonly Draft[]): Promise<void>;
  /**
   * Has the session looked at.
   *
   * @throws {LogClosedError}
   */
  wake(id: string): Promise<void>;
  /** Ends the session's work, frees its hand where that is possible in good time, and erases the log. Idempotent. */
  remove(id: string): Promise<void>;
  /** A cursor before the first entry. */
  cursor(id: string): LogCursor;
}
