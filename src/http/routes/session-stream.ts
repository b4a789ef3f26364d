/**
 * A session's stream: the live tail of its log, with previews where they are asked for (wire-api section 12). One
 * implementation for the wire's stream and for the one that can be resumed (docs/extensions.md).
 */
import type { Entry } from '../../log.ts';
import { toWire } from '../../log.ts';
import { newId } from '../../id.ts';
import type { PreviewReceiver } from '../../previews.ts';
import { SessionGoneError, type Sessions, type Tail } from '../../session.ts';
import type { DELTA_TYPES, Preview } from '../../wire/event.ts';
import type { Clock } from '../clock.ts';
import { createFrameBody, type FrameBody } from '../frame-body.ts';
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

/** What a connection asks for. */
export interface StreamRequest {
  readonly sessionId: string;
  readonly deltas: DeltaTypes;
  /**
   * For clients that go on where they were: events of the log carry their position as the frame's id, and wait for
   * the reader, who may have much to catch up with. Else, as on the wire, a reader who is too slow is cut off.
   */
  readonly resumable?: boolean;
  /** The position to begin with; left out: the end of the log. */
  readonly from?: number | undefined;
}

const PING_EVERY_MS = 15_000;

/** Opens the stream. It is attached to the log before the response goes out. */
export async function openStream(deps: StreamDeps, request: StreamRequest): Promise<Response> {
  const { sessionId, deltas, resumable = false, from } = request;
  const closing = new AbortController();
  const body = createFrameBody(closing);
  const gate = createPreviewGate(new Set(deltas));
  const show = (frames: readonly Preview[]): void =>
    body.send(frames.map((frame) => toFrame(frame.type, frame)));
  const unlisten =
    deltas.length > 0
      ? deps.previews.listen(sessionId, (message) => show(gate.preview(message)))
      : () => undefined;

  const tail = await deps.sessions.follow(sessionId, closing.signal, from).catch((error: unknown) => {
    unlisten();
    throw error;
  });
  body.send([PING_FRAME]);
  const ping = setInterval(() => body.send([PING_FRAME]), PING_EVERY_MS);
  const finish = (): void => {
    clearInterval(ping);
    unlisten();
    body.end();
  };
  // Whatever goes wrong at the end, the stream just ends: its client opens it again and lists.
  void run(deps, { sessionId, tail, gate, body, resumable }).then(finish, finish);
  return new Response(body.stream, { headers: STREAM_HEADERS });
}

interface Connection {
  readonly sessionId: string;
  readonly tail: Tail;
  readonly gate: PreviewGate;
  readonly body: FrameBody;
  readonly resumable: boolean;
}

async function run(deps: StreamDeps, connection: Connection): Promise<void> {
  const { sessionId, tail, body, resumable } = connection;
  let broken = false;
  try {
    for await (const entries of tail.entries) {
      if (!resumable) body.send(entries.flatMap((entry) => framesOf(connection, entry)));
      else
        for (const entry of entries) {
          await body.taken();
          body.send(framesOf(connection, entry));
        }
    }
  } catch (error) {
    broken = !(error instanceof SessionGoneError);
  }
  // Asked first, also of what broke: content of a session that is being deleted goes before its log does. When the
  // database has broken both, that it broke is what is known.
  const isDeleted = deps.isDeleted(sessionId);
  if (await (broken ? isDeleted.catch(() => false) : isDeleted)) {
    const deleted = { type: 'session.deleted', id: newId('sevt'), processed_at: deps.now() };
    body.send([toFrame(deleted.type, deleted)]);
  } else if (broken) {
    const message = 'The stream broke; open it again and list the events.';
    body.send([toFrame('error', { type: 'error', error: { type: 'api_error', message } })]);
  }
}

function framesOf({ gate, resumable }: Connection, entry: Entry): string[] {
  const event = toWire(entry);
  if (!event) return [];
  const own = toFrame(event.type, event, resumable ? entry.position : undefined);
  return [own, ...gate.event(event).map((frame) => toFrame(frame.type, frame))];
}
