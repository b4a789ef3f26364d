/** Passes an upstream body on as it comes, and ends exactly as it ends: well, cut, or because nobody listens. */
import { createRedactor } from './redact.ts';

/** How a body ended. */
type RelayEnd = 'complete' | 'upstream cut' | 'client gone';

/** How to pass a body on. */
export interface RelayOptions {
  /** Taken out wherever it shows up. */
  readonly secret: string | undefined;
  /** Breaks the connection to the client; undefined where there is none, and the body then errors. */
  readonly cut: (() => Promise<void>) | undefined;
  /** Called once. */
  readonly onEnd: (end: RelayEnd) => void;
}

/** Makes the body for the client. Nothing is read ahead; cancelling it ends the upstream request at once. */
export function relay(
  upstream: ReadableStream<Uint8Array>,
  options: RelayOptions,
): ReadableStream<Uint8Array> {
  const reader = upstream.getReader();
  const redactor = createRedactor(options.secret);
  let isOver = false;
  const end = (how: RelayEnd): void => {
    isOver = true;
    options.onEnd(how);
  };

  async function pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    for (;;) {
      const { done, value } = await reader.read();
      if (isOver) return;
      const bytes = done ? redactor.end() : redactor.push(value);
      if (bytes.length > 0) controller.enqueue(bytes);
      if (done) {
        end('complete');
        return controller.close();
      }
      if (bytes.length > 0) return;
    }
  }

  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          await pull(controller);
        } catch (error) {
          if (isOver) return;
          end('upstream cut');
          // An error in the body would be enough, but the server might still end the response well before it.
          if (options.cut === undefined) controller.error(error);
          else await options.cut();
        }
      },
      async cancel(reason) {
        if (isOver) return;
        end('client gone');
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}
