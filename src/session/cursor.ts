/** Port: a cursor over one session's log, front to back. What an engine offers to be read by; `reader.ts` shares it. */
import type { Entry } from '../log.ts';

/** A place in a log. It only moves forward, and gives each entry once. */
export interface LogCursor {
  /** Nothing will follow: the session is terminated, or what writes its log is stopped. */
  readonly closed: boolean;
  /**
   * Gives the entries that follow; where there are none yet, waits for some (and gives none after a while). Safe to
   * call again after it failed.
   *
   * @throws {SessionGoneError}
   */
  next(signal: AbortSignal): Promise<readonly Entry[]>;
  /**
   * Asks what is durable now. The answer tells whether the cursor has given all of that.
   *
   * @throws {SessionGoneError}
   */
  mark(): Promise<() => boolean>;
  /** Puts an entry's content back. */
  unpack(entry: Entry): Promise<Entry>;
  /** Rests so long between two reads while somebody waits. */
  readonly pauseMs: number;
}
