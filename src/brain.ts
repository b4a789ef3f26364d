/**
 * Port: the brain. It is given the log up to a moment and answers what the model made of it, as events. It keeps
 * nothing between two calls, knows no hand and no engine, and holds no credential: its client talks to the
 * credential proxy.
 */
import type { Draft, Entry } from './log.ts';
import type { Preview } from './wire/event.ts';

/** One model request. */
export interface Thought {
  readonly sessionId: string;
  /** The `span.model_request_start` that this request belongs to: the last of `entries`. */
  readonly spanId: string;
  /** The log, as far as a request can be made of it (`prompt-log.ts`). */
  readonly entries: readonly Entry[];
  /** Which try this is, from 1: those before ended with their worker. */
  readonly attempt: number;
  /** What the budget leaves for this request in all its tries, in microcents; null: there is none. */
  readonly leftMicrocents: number | null;
  /** Gives out event ids. */
  readonly newId: () => string;
  /** Shows what is being made; best effort, must not throw. */
  readonly preview: (frame: Preview) => void;
  /** Aborted with an `InterruptedError` when the user interrupts; with anything else when the caller gives up. */
  readonly signal: AbortSignal;
}

/** So much of what was last said is asked for, however long ago that was. */
export const MOST_SAID = 10;

/** The reason of an abort that the user asked for. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
}

/** What a call of the brain's own tool wants to read, and how the model is shown it; or why it cannot be. */
export type Recall =
  | {
      readonly slice: RecallSlice;
      /** Whether these are all that is going to be shown: reading on would be in vain. */
      readonly isEnough: (entries: readonly Entry[]) => boolean;
      readonly show: (entries: readonly Entry[]) => string;
    }
  | { readonly error: string };

/** A piece of the session's log, by position. */
export interface RecallSlice {
  readonly from?: number;
  readonly to?: number;
  readonly types?: readonly string[];
  readonly order: 'asc' | 'desc';
}

/** The port. Implementation: `brain/claude.ts`. */
export interface Brain {
  /**
   * Makes one model request, and has the calls of its answer judged where their policy says so. Answers its events,
   * the last of which is the `span.model_request_end`; failures of the model and interruptions are answers too.
   * Throws only when the signal aborts for another reason.
   */
  think(thought: Thought): Promise<readonly Draft[]>;
  /** Reads the input of a call that reads the session's own log. Pure. */
  recall(input: unknown): Recall;
}
