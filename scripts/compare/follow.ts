/** A client that follows a session whatever happens to the server: it opens the stream again, and lists. */
import Anthropic from '@anthropic-ai/sdk';
import type { BetaManagedAgentsSessionEvent } from '@anthropic-ai/sdk/resources/beta/sessions/events';
import { setTimeout as pause } from 'node:timers/promises';

/** An event in its final form. */
export type Event = BetaManagedAgentsSessionEvent;

/** An event and when the client saw it. */
export interface Seen {
  readonly event: Event;
  readonly atMs: number;
}

/** A session that is being followed. */
export interface Following {
  /** In the order in which they came, each once. */
  readonly seen: readonly Seen[];
  /** Waits for an event among those from index `from` on; undefined when it does not come in time. */
  until(isIt: (event: Event) => boolean, options: WaitOptions): Promise<Seen | undefined>;
  stop(): Promise<void>;
}

interface WaitOptions {
  readonly from?: number;
  readonly withinMs: number;
}

const AGAIN_AFTER_MS = 50;
/** A server that takes the connection and says nothing is no better than one that is gone. */
const ATTACH_WITHIN_MS = 5000;

/** Starts to follow. */
export function follow(client: Anthropic, sessionId: string): Following {
  const stopping = new AbortController();
  const seen: Seen[] = [];
  const ids = new Set<string>();
  const waiting = new Set<() => void>();
  const note = (event: Event): void => {
    if (ids.has(event.id)) return;
    ids.add(event.id);
    seen.push({ event, atMs: performance.now() });
    for (const wake of waiting) wake();
  };
  const attachOnce = async (): Promise<void> => {
    const attached = new AbortController();
    const late = setTimeout(() => attached.abort(), ATTACH_WITHIN_MS);
    const signal = AbortSignal.any([stopping.signal, attached.signal]);
    try {
      // First the stream, then the list: nothing falls between the two.
      const stream = await client.beta.sessions.events.stream(sessionId, {}, { signal });
      for (const event of await listAll(client, sessionId, signal)) if (isFinal(event)) note(event);
      clearTimeout(late);
      for await (const event of stream) if (isFinal(event)) note(event);
    } finally {
      clearTimeout(late);
      attached.abort();
    }
  };
  const reading = (async () => {
    while (!stopping.signal.aborted) {
      await attachOnce().catch(() => undefined);
      await pause(AGAIN_AFTER_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    seen,
    async until(isIt, { from = 0, withinMs }) {
      const find = (): Seen | undefined => seen.slice(from).find(({ event }) => isIt(event));
      const deadline = performance.now() + withinMs;
      for (let found = find(); ; found = find()) {
        const leftMs = deadline - performance.now();
        if (found || leftMs <= 0) return found;
        const { promise, resolve } = Promise.withResolvers<void>();
        const timer = setTimeout(resolve, leftMs);
        waiting.add(resolve);
        await promise;
        waiting.delete(resolve);
        clearTimeout(timer);
      }
    },
    async stop() {
      stopping.abort();
      await reading;
    },
  };
}

/** All events of a session, as the list has them. */
export async function listAll(client: Anthropic, sessionId: string, signal?: AbortSignal): Promise<Event[]> {
  const events: Event[] = [];
  const options = signal ? { signal } : {};
  for await (const event of client.beta.sessions.events.list(sessionId, { limit: 1000 }, options))
    events.push(event);
  return events;
}

/** Whether it is an event of the log that has been taken up: previews and queued ones come again. */
function isFinal(frame: { readonly type: string }): frame is Event {
  return 'id' in frame && 'processed_at' in frame && frame.processed_at !== null;
}

/** Sends a message. */
export async function say(client: Anthropic, sessionId: string, text: string): Promise<void> {
  await client.beta.sessions.events.send(sessionId, {
    events: [{ type: 'user.message', content: [{ type: 'text', text }] }],
  });
}

/** No answer, or one that says to come again. */
export function isPassing(error: unknown): boolean {
  if (error instanceof Anthropic.APIConnectionError) return true;
  if (error instanceof Anthropic.APIError)
    return error.status === undefined || error.status >= 500 || error.status === 429;
  return error instanceof TypeError || (error instanceof Error && error.name === 'AbortError');
}
