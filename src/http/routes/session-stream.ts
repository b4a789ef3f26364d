/** `GET /v1/sessions/{id}/events/stream`: the live tail, with previews where they are asked for (wire-api section 12). */
import type { Entry } from '../../log.ts';
import { toWire } from '../../log.ts';
import { newId } from '../../id.ts';
import type { PreviewReceiver } from '../../previews.ts';
import { SessionGoneError, type Sessions, type Tail } from '../../session.ts';
import type { DELTA_TYPES, Preview } from '../../wire/event.ts';
import type { Clock } from '../clock.ts';
import { createPreviewGate, type PreviewGate } from '../preview-gate.ts';
import { PING_FRAME, STREAM_HEADERS, toFrame } from '../sse.ts';

/** What a stream is made of. */
export interface StreamDeps {
  readonly sessions: Sessions;
  readonly previews: PreviewReceiver;
  readonly now: Clock;
  /** Whether the session is being deleted or is gone. */
  readonly isDeleted: (sessionId: string) => Promise<boolean>;
}

/** Which previews a connection wants. */
export type DeltaTypes = readonly (typeof DELTA_TYPES)[number][];

const PING_EVERY_MS = 15_000;
/** A reader that falls so far behind is cut off: it can open again and list what it missed. */
const MOST_BUFFERED_FRAMES = 5000;

/** Opens the stream. It is attached to the log before the response goes out. */
export async function openStream(deps: StreamDeps, sessionId: string, deltas: DeltaTypes): Promise<Response> {
  const closing = new AbortController();
  const gate = createPreviewGate(new Set(deltas));
  const early: Preview[] = [];
  let show = (frames: readonly Preview[]): void => void early.push(...frames);
  const unlisten =
    deltas.length > 0
      ? deps.previews.listen(sessionId, (message) => show(gate.preview(message)))
      : () => undefined;

  const tail = await deps.sessions.follow(sessionId, closing.signal).catch((error: unknown) => {
    unlisten();
    throw error;
  });
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const send = (frame: string): void => {
          if (closing.signal.aborted) return;
          if ((controller.desiredSize ?? 0) < -MOST_BUFFERED_FRAMES) {
            closing.abort();
            controller.error(new Error('the reader does not keep up'));
            return;
          }
          controller.enqueue(encoder.encode(frame));
        };
        show = (frames) => frames.forEach((frame) => send(toFrame(frame.type, frame)));
        send(PING_FRAME);
        show(early);
        const ping = setInterval(() => send(PING_FRAME), PING_EVERY_MS);
        const finish = (): void => {
          clearInterval(ping);
          unlisten();
          if (!closing.signal.aborted) controller.close();
          closing.abort();
        };
        // Whatever goes wrong at the end, the stream just ends: its client opens it again and lists.
        void run(deps, { sessionId, tail, gate, send, show }).then(finish, finish);
      },
      cancel() {
        closing.abort();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: STREAM_HEADERS });
}

interface Connection {
  readonly sessionId: string;
  readonly tail: Tail;
  readonly gate: PreviewGate;
  readonly send: (frame: string) => void;
  readonly show: (frames: readonly Preview[]) => void;
}

async function run(deps: StreamDeps, connection: Connection): Promise<void> {
  const { sessionId, tail, send } = connection;
  try {
    for await (const entries of tail.entries) for (const entry of entries) pass(connection, entry);
  } catch (error) {
    if (!(error instanceof SessionGoneError)) {
      const message = 'The stream broke; open it again and list the events.';
      return send(toFrame('error', { type: 'error', error: { type: 'api_error', message } }));
    }
  }
  if (await deps.isDeleted(sessionId)) {
    const deleted = { type: 'session.deleted', id: newId('sevt'), processed_at: deps.now() };
    send(toFrame(deleted.type, deleted));
  }
}

function pass({ gate, send, show }: Connection, entry: Entry): void {
  const event = toWire(entry);
  if (!event) return;
  send(toFrame(event.type, event));
  show(gate.event(event));
}
