/** Whether calls may begin. They may not while somebody is about to end the hand, because nobody uses it. */

/** The word that no call begins. It is good for a short time, so that calls go on when whoever has it is lost. */
export interface Hold {
  /** Whether the word still stands, and so no call has begun since it was given. */
  stands(): boolean;
  /** Gives it back: the calls that came meanwhile begin. */
  drop(): void;
}

/** What calls pass before they begin. */
export interface Gate {
  /** Shuts it. Undefined when somebody else has done so. */
  hold(): Hold | undefined;
  /** Resolves with true when a call may begin; with false when it was aborted before that. */
  pass(signal: AbortSignal): Promise<boolean>;
}

/** How long a hold is good for: time enough to note on a busy machine what is about to happen. */
const HOLD_MS = 5_000;

/** Makes the gate; it is open. */
export function createGate(): Gate {
  let shut: PromiseWithResolvers<void> | undefined;

  const pass = async (signal: AbortSignal): Promise<boolean> => {
    if (shut === undefined || signal.aborted) return !signal.aborted;
    const aborted = Promise.withResolvers<void>();
    const onAbort = (): void => aborted.resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    await Promise.race([shut.promise, aborted.promise]);
    signal.removeEventListener('abort', onAbort);
    return pass(signal);
  };

  return {
    pass,
    hold() {
      if (shut !== undefined) return undefined;
      const mine = Promise.withResolvers<void>();
      shut = mine;
      const drop = (): void => {
        clearTimeout(timer);
        if (shut !== mine) return;
        shut = undefined;
        mine.resolve();
      };
      const timer = setTimeout(drop, HOLD_MS);
      return { stands: () => shut === mine, drop };
    },
  };
}
