/** How much is measured: chosen so that five candidates take about an hour on two cores, or some minutes. */

/** Everything that can be more or less. */
export interface Sizes {
  readonly warmUpTurns: number;
  readonly turn: {
    /** Sessions whose turns around the tenth are measured. */
    readonly shortSessions: number;
    /** Turns of the long session; the last ones are the late ones. */
    readonly longTurns: number;
    readonly lateTurns: number;
  };
  readonly throughput: {
    readonly concurrency: readonly number[];
    /** Sessions begin no further turn after so long. */
    readonly boundMs: number;
    /** From this many sessions on, each makes one turn only. */
    readonly singleTurnFrom: number;
  };
  readonly watchers: { readonly watchers: number; readonly turns: number };
  readonly idle: {
    readonly sessions: number;
    /** No more sessions are made after so long. */
    readonly makeWithinMs: number;
    readonly quietMs: number;
    readonly wakes: number;
  };
  readonly recovery: { readonly kills: number; readonly sessions: number };
  readonly outage: { readonly downMs: number };
  readonly chaos: {
    readonly kills: number;
    readonly meanGapMs: number;
    /** Of the in-process program, which loses everything each time, and needs new sandboxes. */
    readonly programKills: number;
    readonly programGapMs: number;
    readonly sessions: number;
    readonly settleMs: number;
  };
}

/** About an hour. */
export const FULL: Sizes = {
  warmUpTurns: 20,
  turn: { shortSessions: 12, longTurns: 520, lateTurns: 40 },
  throughput: { concurrency: [1, 16, 128, 1000], boundMs: 6000, singleTurnFrom: 1000 },
  watchers: { watchers: 10, turns: 50 },
  idle: { sessions: 10_000, makeWithinMs: 100_000, quietMs: 60_000, wakes: 30 },
  recovery: { kills: 5, sessions: 4 },
  outage: { downMs: 10_000 },
  chaos: {
    kills: 200,
    meanGapMs: 1500,
    programKills: 20,
    programGapMs: 6000,
    sessions: 12,
    settleMs: 90_000,
  },
};

/** Some minutes: to see that everything works, not to believe the figures. */
export const QUICK: Sizes = {
  warmUpTurns: 10,
  turn: { shortSessions: 4, longTurns: 110, lateTurns: 10 },
  throughput: { concurrency: [1, 16, 128], boundMs: 2000, singleTurnFrom: 128 },
  watchers: { watchers: 10, turns: 15 },
  idle: { sessions: 500, makeWithinMs: 20_000, quietMs: 5000, wakes: 10 },
  recovery: { kills: 1, sessions: 4 },
  outage: { downMs: 4000 },
  chaos: {
    kills: 20,
    meanGapMs: 1000,
    programKills: 3,
    programGapMs: 4000,
    sessions: 6,
    settleMs: 60_000,
  },
};
