/**
 * Kills that hit many conversations at once. Those that play side by side meet: the worker is killed when all of them
 * wait for a kill, so that each is hit exactly as often as it says, and where it says. An API holds nothing that a log
 * would show, so whoever waits for another worker does not notice when it is killed.
 */
import type { Side } from './side.ts';

/** A meeting of conversations on one server. */
export interface Meeting {
  /** Resolves when the process has been killed. */
  strike(victim: 'worker' | 'api'): Promise<void>;
  /** A conversation has ended. */
  leave(): void;
  /** How many processes have been killed. */
  readonly killed: { readonly worker: number; readonly api: number };
}

interface Waiting {
  readonly victim: 'worker' | 'api';
  readonly go: (killing: Promise<void>) => void;
}

/** A meeting of so many. */
export function createMeeting(side: Pick<Side, 'kill'>, count: number): Meeting {
  const killed = { worker: 0, api: 0 };
  let present = count;
  let waiting: Waiting[] = [];

  function strikeIfAllWait(): void {
    if (present === 0 || waiting.length < present) return;
    const victim = waiting.some((one) => one.victim === 'api') ? 'api' : 'worker';
    const hit = waiting.filter((one) => one.victim === victim);
    waiting = waiting.filter((one) => one.victim !== victim);
    killed[victim] += 1;
    const killing = side.kill(victim);
    for (const { go } of hit) go(killing);
  }

  return {
    killed,
    strike: (victim) =>
      new Promise<void>((resolve) => {
        waiting.push({ victim, go: resolve });
        strikeIfAllWait();
      }),
    leave() {
      present -= 1;
      strikeIfAllWait();
    },
  };
}
