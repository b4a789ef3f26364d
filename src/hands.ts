/**
 * Port: hands. A hand is a place where tools run: a container, a sandboxed process, a machine far away. It knows
 * nothing of models, events or Temporal; whoever calls it knows nothing of what it is.
 *
 * Hands are cattle. Any of them may die between two calls or in the middle of one; the caller turns that into a
 * tool error and asks for a fresh one.
 */

import type { Snapshot, SnapshotStore } from './snapshot.ts';

/** What it takes to find a hand again from any process: plain JSON, no secret. */
export interface HandRef {
  readonly id: string;
  readonly kind: string;
}

/** What a hand is provisioned with. */
export interface HandSpec {
  /** `open`: outbound network, where the kind can give it safely. `none`: no network at all. */
  readonly network: 'none' | 'open';
}

/** One tool call. `id` is the idempotency key: the same id never runs twice in one hand. */
export interface ToolCall {
  readonly id: string;
  readonly name: string;
  readonly input: Readonly<Record<string, unknown>>;
}

/** What a tool gives back, in the wire's content blocks. */
export interface ToolOutcome {
  readonly content: readonly ToolContent[];
  readonly isError: boolean;
}

/** A block of tool output. */
export type ToolContent =
  | { readonly type: 'text'; readonly text: string }
  | {
      readonly type: 'image';
      readonly source: { readonly type: 'base64'; readonly media_type: string; readonly data: string };
    };

/** How the caller stays in touch with a call that is under way. */
export interface CallContext {
  /** Aborting kills the running command inside the hand; the promise then rejects with the signal's reason. */
  readonly signal: AbortSignal;
}

/** The hand is no more, or can no longer be reached. `message` says why, in words that Claude can be shown. */
export class HandGoneError extends Error {
  override readonly name = 'HandGoneError';
}

/** The port. Implementations: `hands/docker.ts`, `hands/bubblewrap.ts`. */
export interface Hands {
  readonly kind: string;
  /**
   * Makes a hand, or finds the one made before under the same `key` if it still lives or is suspended. Safe to
   * retry. A hand that is dead is never given back.
   */
  provision(key: string, spec: HandSpec, context: CallContext): Promise<HandRef>;
  /**
   * Runs one tool call. Safe to retry with the same `call.id`, also from another process: a running call is
   * re-attached, a finished one answers again from the hand's journal; it never runs twice. A failing tool is an
   * outcome with `isError`, not an exception.
   *
   * @throws {HandGoneError} when the hand died; the call's effects are then unknown.
   */
  execute(hand: HandRef, call: ToolCall, context: CallContext): Promise<ToolOutcome>;
  /**
   * Keeps the files of the hand's workspace as they are now in the store, which must be the same one for all snapshots of
   * a hand. Disturbs no call, starts none, and may come while some run: what these write at that moment may be in it or
   * not. Safe to repeat.
   *
   * @throws {NoSnapshotError} with the reason why there is none
   * @throws {HandGoneError}
   */
  snapshot(hand: HandRef, store: SnapshotStore, context: CallContext): Promise<Snapshot>;
  /**
   * Makes the workspace of a fresh hand what it was in a snapshot. Safe to repeat from any process, also after half of
   * it. An implementer must never do this to a hand in which a call has run, however late the request comes.
   *
   * @throws {HandGoneError}
   */
  restore(hand: HandRef, snapshot: string, store: SnapshotStore, context: CallContext): Promise<void>;
  /** Stops the hand and frees what it holds. Releasing one that is gone is a quiet no-op. */
  release(hand: HandRef): Promise<void>;
}
