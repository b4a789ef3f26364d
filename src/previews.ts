/**
 * Port: previews, what the model is saying while it says it. Best effort and never stored: they go beside the log,
 * from the worker to whoever streams (wire-api 12.1).
 */
import type { Preview } from './wire/event.ts';

/** A preview on its way. */
export interface PreviewMessage {
  readonly sessionId: string;
  /** The model request that it belongs to. */
  readonly spanId: string;
  readonly frame: Preview;
}

/** The sending end. */
export interface PreviewSender {
  /** Never throws and never waits; what nobody listens to is dropped. */
  send(message: PreviewMessage): void;
  /** Resolves when what was sent is on its way, or that has taken too long: events behind it may then follow. */
  flush(): Promise<void>;
  close(): void;
}

/** The receiving end. */
export interface PreviewReceiver {
  /** Calls `listener` for every preview of a session until the returned function is called. */
  listen(sessionId: string, listener: (message: PreviewMessage) => void): () => void;
  close(): Promise<void>;
}
