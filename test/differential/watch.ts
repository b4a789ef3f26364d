/** A session's stream from its beginning on, opened again wherever it breaks: every position comes once. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { WireEvent } from '../../src/wire/event.ts';
import { framesOf } from '../support/frames.ts';
import type { Side } from './side.ts';

/** An event as a slice of the log shows it. */
export interface Placed {
  readonly position: number;
  readonly event: WireEvent;
}

/** What has come so far. */
export interface Watch {
  readonly events: readonly Placed[];
  /** The texts of all messages that have been previewed, whatever became of them. */
  previewed(text: string): boolean;
  /** What has gone wrong for good. */
  readonly fault: Error | undefined;
  close(): Promise<void>;
}

const REOPEN_AFTER_MS = 50;

/** Begins to watch. Resolves when the stream is open. */
export async function watch(side: Side, sessionId: string): Promise<Watch> {
  const events: Placed[] = [];
  const previews = new Map<string, string>();
  const closing = new AbortController();
  let fault: Error | undefined;

  const open = async (): Promise<Response> => {
    const after = events.at(-1)?.position ?? -1;
    const query = new URLSearchParams({ after: String(after), 'event_deltas[]': 'agent.message' });
    const path = `/v1/x/sessions/${sessionId}/events/stream?${query.toString()}`;
    const response = await side.stream(path, closing.signal);
    if (response.status !== 200) {
      fault = new Error(`the stream answers ${response.status}: ${await response.text()}`);
      throw fault;
    }
    return response;
  };
  const read = async (response: Response): Promise<void> => {
    for await (const { id, type, data } of framesOf(response)) {
      if (id !== undefined) events.push({ position: id, event: data as unknown as WireEvent });
      if (type !== 'event_delta') continue;
      const { event_id, delta } = data as { event_id: string; delta: { content: { text: string } } };
      previews.set(event_id, (previews.get(event_id) ?? '') + delta.content.text);
    }
  };
  const isOver = (): boolean =>
    closing.signal.aborted ||
    fault !== undefined ||
    events.at(-1)?.event.type === 'session.status_terminated';
  const follow = async (first: Response): Promise<void> => {
    let response: Response | undefined = first;
    while (!isOver()) {
      // A killed API breaks the stream, and refuses the next connection for a while.
      await (response ? read(response) : Promise.resolve()).catch(() => undefined);
      if (isOver()) return;
      await sleep(REOPEN_AFTER_MS);
      response = await open().catch(() => undefined);
    }
  };

  const following = follow(await open());
  return {
    events,
    previewed: (text) => [...previews.values()].some((known) => known.includes(text)),
    get fault() {
      return fault;
    },
    async close() {
      closing.abort();
      await following;
    },
  };
}
