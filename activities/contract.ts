/** What workflow code may call: plain JSON in and out, small, and no content that the log already has. */
import type { Draft } from '../src/log.ts';

/** Drafts that a carrier holds. */
export interface Carrier {
  readonly drafts: readonly Draft[];
}

/** A hand, as plain JSON. */
export interface Hand {
  readonly id: string;
  readonly kind: string;
}

/** What an operation says of those that went before it. */
interface Succession {
  /**
   * So many attempts ended with their workers, the last one after the user's interrupt, and Temporal tries no activity
   * again that has been told to stop. This one is told from the start, and leaves nothing behind that runs on.
   */
  readonly lostAttempts?: number | undefined;
}

/** The remote activities of a session. Their inputs carry drafts that ride into the log with the scheduling. */
export interface SessionActivities {
  /** One model request: reads the log up to `spanId`, answers what the model produced. */
  brain(
    input: Carrier &
      Succession & {
        readonly sessionId: string;
        readonly spanId: string;
        readonly leftMicrocents: number | null;
      },
  ): Promise<Carrier>;
  /** Runs a call that reads the session's own log. */
  recall(input: Carrier & { readonly sessionId: string; readonly callId: string }): Promise<Carrier>;
  /** Makes the session's hand. */
  provision(
    input: Carrier & {
      readonly sessionId: string;
      /** Names the hand: a lost attempt's is found again. */
      readonly provisioning: string;
      readonly network: 'none' | 'open';
    },
  ): Promise<Carrier>;
  /** Runs one tool call in the hand; the call's input is read from the log. */
  execute(
    input: Carrier &
      Succession & { readonly sessionId: string; readonly callId: string; readonly hand: Hand },
  ): Promise<Carrier>;
  /** Whether this life of the session is the one that it lives now. */
  isAtHome(input: { readonly sessionId: string; readonly life: number }): Promise<boolean>;
  /** Puts the runs of this life that are over into the archive, each once. */
  seal(input: { readonly sessionId: string; readonly life: number }): Promise<void>;
  /** Frees the hand. */
  release(input: { readonly hand: Hand }): Promise<void>;
}
