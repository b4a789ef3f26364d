/** One activation of a session on the log engine: what to write and what to start, given what has come. Pure. */
import type { Draft } from '../../log.ts';
import { author, decide, isBetweenTurns, type Operation, type Pen } from '../../loop.ts';
import { began, cancelled, ended, fold, isBusy, type LoopState } from '../../loop/state.ts';
import type { LogIndex } from '../../session/log-index.ts';

/** An operation that is over, and what it produced. */
export interface Result {
  readonly operation: Operation;
  readonly drafts: readonly Draft[];
}

/** An operation to start. `spanId`: of the model request that the session is in. */
export interface Start {
  readonly operation: Operation;
  readonly spanId: string;
}

/** What an activation amounts to. */
export interface Plan {
  /** To be written at once, or not at all. */
  readonly drafts: readonly Draft[];
  readonly starts: readonly Start[];
  /** Whether what runs is to be told to stop, with what is started here. */
  readonly cancel: boolean;
  readonly finish: boolean;
  /** Whether the session, which is to leave, can do so now. */
  readonly leaves: boolean;
  /** What the loop remembers once that is written. */
  readonly state: LoopState;
}

/** What a plan is made of. */
export interface Situation {
  /** What the loop remembers. */
  readonly state: LoopState;
  /** What has come since. */
  readonly results: readonly Result[];
  /** Whether the session is to leave at the end of its turn. */
  readonly isLeaving: boolean;
  /** Whether the harness that had the session before was lost in the middle of what was under way. */
  readonly isTakeover: boolean;
}

/** Takes results in and lets the loop decide until it waits. */
export function plan({ state: before, results, isLeaving, isTakeover }: Situation, pen: Pen): Plan {
  const drafts: Draft[] = [];
  const starts: Start[] = [];
  let state = before;
  let cancel = false;
  const write = (some: readonly Draft[]): void => {
    drafts.push(...some);
    state = fold(state, some, pen.nowMs());
  };
  const start = (operations: readonly Operation[]): void => {
    for (const operation of operations) {
      starts.push({ operation, spanId: state.phase.at === 'thinking' ? state.phase.spanId : '' });
      state = began(state, operation.kind, callOf(operation));
    }
  };
  for (const { operation, drafts: own } of results) {
    write(own);
    state = ended(state, operation.kind, callOf(operation));
  }
  if (isTakeover && state.interrupts.length > 0) start(orphans(state));
  for (;;) {
    const leaves = isLeaving && isBetweenTurns(state);
    const step = leaves ? undefined : decide(state);
    if (!step || step.finish) return { drafts, starts, cancel, finish: step !== undefined, leaves, state };
    if (step.cancel) {
      state = cancelled(state);
      cancel = true;
      continue;
    }
    write(author(state, step.write, pen));
    start(step.start);
  }
}

/**
 * What a lost harness had under way when the interrupt came. It is taken up only to be told to stop: a command runs on
 * without its harness, and a lost request has its price.
 */
function orphans(state: LoopState): readonly Operation[] {
  if (isBusy(state)) return [];
  const step = decide({ ...state, interrupts: [], stamps: [] });
  return step && step.write.length === 0 ? step.start : [];
}

/** The tool call that an operation runs, or none. */
export function callOf(operation: Operation): string {
  return operation.kind === 'tool' ? operation.callId : '';
}

/** When the pause before the next try of the model ends, counted from the event that began it. */
export function pauseEndMs(index: LogIndex, ms: number): number {
  const beganUs = index.timeUsAt(index.lastOf('session.status_rescheduled')) ?? Number.NaN;
  return Math.floor(beganUs / 1000) + ms;
}
