/** Changes of logs, wherever they were made: what this process writes itself, and what others announce. */
import type { Notices } from '../../notices.ts';

/** The changes that a process hears of. */
export interface Changes {
  /** Says here and everywhere that a log has changed. `byHarness`: the harness of this process knows. */
  announce(sessionId: string, byHarness?: 'byHarness'): void;
  /** Resolves at the next change of a session, after a while, or when the signal aborts. Never rejects. */
  next(sessionId: string, withinMs: number, signal?: AbortSignal): Promise<void>;
  /** Calls `listener` with each session that anybody but this process's harness has changed. */
  listen(listener: (sessionId: string) => void): () => void;
  close(): void;
}

/** Joins both sources. */
export function createChanges(notices: Notices): Changes {
  const waiting = new Map<string, Set<() => void>>();

  const listeners = new Set<(sessionId: string) => void>();

  function tell(sessionId: string, byHarness?: 'byHarness'): void {
    for (const resolve of waiting.get(sessionId) ?? []) resolve();
    if (byHarness === undefined) for (const listener of listeners) listener(sessionId);
  }
  const stop = notices.listen((sessionId) => tell(sessionId));

  return {
    announce(sessionId, byHarness) {
      tell(sessionId, byHarness);
      notices.announce(sessionId);
    },
    next: (sessionId, withinMs, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const all = waiting.get(sessionId) ?? new Set();
        const settle = (): void => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', settle);
          all.delete(settle);
          if (all.size === 0 && waiting.get(sessionId) === all) waiting.delete(sessionId);
          resolve();
        };
        const timer = setTimeout(settle, withinMs);
        waiting.set(sessionId, all.add(settle));
        signal?.addEventListener('abort', settle, { once: true });
      }),
    listen(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: stop,
  };
}
