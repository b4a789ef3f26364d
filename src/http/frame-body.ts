/** The body of a stream: frames are put in, a reader takes them out at his own pace. */

/** The body. */
export interface FrameBody {
  readonly stream: ReadableStream<Uint8Array>;
  /** Puts frames in, in one piece. Where too many wait to be read, the reader is cut off. */
  send(frames: readonly string[]): void;
  /** Resolves when nothing waits to be read any more, or the stream is over. */
  taken(): Promise<void>;
  /** Ends the stream behind what was put in. */
  end(): void;
}

/** A reader that falls so far behind is cut off: it can open again. */
const MOST_BUFFERED_FRAMES = 5000;

/** Makes a body. `closing` is aborted when the reader leaves or is cut off; nothing is sent after that. */
export function createFrameBody(closing: AbortController): FrameBody {
  const encoder = new TextEncoder();
  /** How many frames a piece has. */
  const counts = new WeakMap<Uint8Array, number>();
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  let notify = (): void => undefined;
  closing.signal.addEventListener('abort', () => notify());
  const stream = new ReadableStream<Uint8Array>(
    {
      start(own) {
        controller = own;
      },
      // Called when the reader asks and there is nothing.
      pull: () => notify(),
      cancel: () => closing.abort(),
    },
    { highWaterMark: 0, size: (piece) => counts.get(piece) ?? 1 },
  );
  const waiting = (): number => -(controller?.desiredSize ?? 0);

  return {
    stream,
    send(frames) {
      if (closing.signal.aborted || frames.length === 0) return;
      if (waiting() > MOST_BUFFERED_FRAMES) {
        closing.abort();
        controller?.error(new Error('the reader does not keep up'));
        return;
      }
      const piece = encoder.encode(frames.join(''));
      counts.set(piece, frames.length);
      controller?.enqueue(piece);
    },
    async taken() {
      while (waiting() > 0 && !closing.signal.aborted) {
        await new Promise<void>((resolve) => {
          notify = resolve;
        });
      }
    },
    end() {
      if (!closing.signal.aborted) controller?.close();
      closing.abort();
    },
  };
}
