/**
 * Decides which previews a connection gets, and when (wire-api 12.1). Pure, one per connection. Previews come by
 * another way than the log and may be early or late; the rules are:
 * - none before the connection has been given the span's start, so none for spans that began before what it is shown;
 * - for each id one start, then deltas, and nothing once the full event or the span's end has been given;
 * - no more deltas of a message once another has started, and nothing more of a span once its full message has been
 *   given: a dead attempt's may still come in beside the next one's, and clients fold all frames into one message.
 */
import type { PreviewMessage } from '../previews.ts';
import type { Preview } from '../wire/event.ts';

/** The gate. */
export interface PreviewGate {
  /** A preview arrived: answers what may be sent now. */
  preview(message: PreviewMessage): readonly Preview[];
  /** A log event is being sent: answers the previews that it lets through, to be sent after it. */
  event(event: {
    readonly id: string;
    readonly type: string;
    readonly model_request_start_id?: string;
  }): readonly Preview[];
}

/** Beyond this many held back in all, previews of the oldest span are given up: they are best effort. */
const MOST_HELD = 2000;

/** Makes a gate that lets through previews of these event types. */
export function createPreviewGate(wanted: ReadonlySet<string>): PreviewGate {
  const open = new Set<string>();
  const over = new Set<string>();
  const started = new Set<string>();
  const held = new Map<string, Preview[]>();
  let heldInAll = 0;
  let messageId: string | undefined;

  function release(spanId: string): readonly Preview[] {
    const waiting = held.get(spanId) ?? [];
    held.delete(spanId);
    heldInAll -= waiting.length;
    return waiting;
  }

  function close(spanId: string): void {
    open.delete(spanId);
    release(spanId);
    over.add(spanId);
  }

  function pass(frame: Preview): boolean {
    if (frame.type === 'event_start') {
      const { id, type } = frame.event;
      if (!wanted.has(type) || started.has(id)) return false;
      started.add(id);
      if (type === 'agent.message') messageId = id;
      return true;
    }
    return frame.event_id === messageId;
  }

  return {
    preview({ spanId, frame }) {
      // A span that was given up stays so: what follows a hole must not be shown.
      if (over.has(spanId)) return [];
      if (open.has(spanId)) return pass(frame) ? [frame] : [];
      const [oldest] = held.keys();
      if (heldInAll >= MOST_HELD && oldest !== undefined && oldest !== spanId) close(oldest);
      if (heldInAll >= MOST_HELD) {
        over.add(spanId);
        return [];
      }
      held.set(spanId, [...(held.get(spanId) ?? []), frame]);
      heldInAll += 1;
      return [];
    },
    event(event) {
      if (event.type === 'span.model_request_start') {
        open.add(event.id);
        return release(event.id).filter(pass);
      }
      if (event.type === 'span.model_request_end' && event.model_request_start_id !== undefined)
        close(event.model_request_start_id);
      if (event.type === 'agent.message') open.forEach(close);
      // Marks it as shown, so that a late preview of it is not.
      if (event.type === 'agent.thinking') started.add(event.id);
      return [];
    },
  };
}
