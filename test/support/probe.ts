/** What an engine keeps of a server's sessions, read past the server. The same questions for all engines. */
import type { Entry } from '../../src/log.ts';
import { eventually } from './process.ts';
import { withSessions, type SessionsPlace } from './sessions.ts';

/** One durable write, as it is kept. */
export interface Write {
  readonly bytes: Buffer;
  /** Whether it holds what a client sent. */
  readonly isClients: boolean;
}

/** The port. Implementations: `probe/temporal.ts`, `probe/log.ts`; only the one that is asked for is loaded. */
export interface Probe {
  /** All that is kept of a session but heavy content, in the order in which it was written. */
  writes(sessionId: string): Promise<readonly Write[]>;
  /** Whether nothing is kept of it. */
  isGone(sessionId: string): Promise<boolean>;
  /** Wakes a session and waits until a worker has looked at it: one that is new has taken it over by then. */
  looked(sessionId: string): Promise<void>;
  close(): Promise<void>;
}

/** Opens the probe of the server's engine. The caller closes. */
export async function openProbe(place: SessionsPlace): Promise<Probe> {
  switch (place.engine) {
    case 'temporal':
      return await (await import('./probe/temporal.ts')).openTemporalProbe(place);
    case 'log':
      return await (await import('./probe/log.ts')).openLogProbe(place);
  }
}

/** Opens the probe for the time of `use`. */
export async function withProbe<T>(place: SessionsPlace, use: (probe: Probe) => Promise<T>): Promise<T> {
  const probe = await openProbe(place);
  try {
    return await use(probe);
  } finally {
    await probe.close();
  }
}

/** What a session takes. */
export interface Size {
  readonly writes: number;
  readonly bytes: number;
}

/** Adds writes up. */
export function sizeOf(writes: readonly Write[]): Size {
  return { writes: writes.length, bytes: writes.reduce((sum, { bytes }) => sum + bytes.byteLength, 0) };
}

/** The bytes between one write of a client and the next. */
export function bytesPerTurn(writes: readonly Write[]): number[] {
  const sums: number[] = [];
  for (const { bytes, isClients } of writes) {
    if (isClients) sums.push(0);
    if (sums.length > 0) sums[sums.length - 1] = (sums.at(-1) ?? 0) + bytes.byteLength;
  }
  return sums;
}

/** Waits, past the server, until a session has come to rest for the `nth` time. */
export async function untilIdlePast(place: SessionsPlace, sessionId: string, nth: number): Promise<void> {
  const isIdle = ({ event }: Entry): boolean => event.type === 'session.status_idle';
  await withSessions(place, (sessions) =>
    eventually(
      `idle number ${nth}`,
      async () => (await sessions.getEvents(sessionId)).filter(isIdle).length >= nth,
      30_000,
    ),
  );
}
