/**
 * Port: notices that a session's log has changed, from whoever wrote to it to whoever waits for it in another process.
 * Best effort: who depends on them also looks by himself now and then.
 */
export interface Notices {
  /** Names this process in announcements. */
  readonly origin: string;
  /** Never throws and never waits. */
  announce(sessionId: string): void;
  /** Calls `listener` with each session that other processes announce, until the returned function is called. */
  listen(listener: (sessionId: string) => void): () => void;
}
