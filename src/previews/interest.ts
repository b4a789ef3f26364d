/** Who watches which sessions, as a sender knows it. Pure; a receiver that falls silent is forgotten. */
import { z } from 'zod';

const sessionIds = z.array(z.string());

/** What a receiver says of itself: what it watches or began to watch, what no longer, that it is closed. */
export const announcements = z.object({
  watch: sessionIds.optional(),
  unwatch: sessionIds.optional(),
  gone: z.literal(true).optional(),
});

/** One of them. */
export type Announcement = Readonly<z.infer<typeof announcements>>;

/** The knowledge. */
export interface Interest {
  hear(receiver: string, announcement: Announcement, nowMs: number): void;
  /** The receivers that watch a session. */
  watching(sessionId: string, nowMs: number): readonly string[];
}

/** Starts with nobody. What is not said again within `silentMs` is forgotten. */
export function createInterest(silentMs: number): Interest {
  const untilMs = new Map<string, Map<string, number>>();
  let cleanedMs = 0;

  function forget(sessionId: string, receiver: string): void {
    const receivers = untilMs.get(sessionId);
    receivers?.delete(receiver);
    if (receivers?.size === 0) untilMs.delete(sessionId);
  }

  function clean(nowMs: number): void {
    if (nowMs - cleanedMs < silentMs) return;
    cleanedMs = nowMs;
    for (const [sessionId, receivers] of untilMs)
      for (const [receiver, until] of receivers) if (until <= nowMs) forget(sessionId, receiver);
  }

  return {
    hear(receiver, { watch = [], unwatch = [], gone = false }, nowMs) {
      clean(nowMs);
      for (const sessionId of watch) {
        const receivers = untilMs.get(sessionId) ?? new Map<string, number>();
        untilMs.set(sessionId, receivers.set(receiver, nowMs + silentMs));
      }
      for (const sessionId of gone ? [...untilMs.keys()] : unwatch) forget(sessionId, receiver);
    },
    watching(sessionId, nowMs) {
      const receivers = [...(untilMs.get(sessionId) ?? [])];
      return receivers.filter(([, until]) => until > nowMs).map(([receiver]) => receiver);
    },
  };
}
