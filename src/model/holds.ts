/** Places in streams that wait for a word from outside, so that a test can act in the middle of an answer. */
import { once } from 'node:events';

/** The holds of a model. */
export interface Holds {
  /** Resolves when the hold is released, at once if it has been; also when the signal aborts. */
  wait(name: string, signal: AbortSignal): Promise<void>;
  /** Lets everything pass that waits here or is still to come. */
  release(name: string): void;
  /** Whether an answer has come to this place. */
  isReached(name: string): boolean;
}

const KEPT_NAMES = 20_000;

/** Makes holds. They forget the oldest names once there are very many. */
export function createHolds(): Holds {
  const gates = new Map<string, AbortController>();
  const reached = new Set<string>();

  function gate(name: string): AbortController {
    const known = gates.get(name) ?? new AbortController();
    gates.set(name, known);
    const [oldest] = gates.keys();
    if (gates.size > KEPT_NAMES && oldest !== undefined) {
      gates.delete(oldest);
      reached.delete(oldest);
    }
    return known;
  }

  return {
    async wait(name, signal) {
      const released = gate(name).signal;
      reached.add(name);
      const either = AbortSignal.any([released, signal]);
      if (!either.aborted) await once(either, 'abort');
    },
    release: (name) => gate(name).abort(),
    isReached: (name) => reached.has(name),
  };
}
