/** Carries operations of one session out: attempts, pauses, time limits, interrupts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { InterruptedError } from '../../brain.ts';
import type { Draft } from '../../log.ts';
import type { Operation } from '../../loop.ts';
import { failureDrafts, OPERATION_POLICY } from '../../loop/failure.ts';
import type { LoopState } from '../../loop/state.ts';
import { HopelessError, messageOf, runUntil, type Attempt, type Operations } from '../../operations.ts';
import type { LogIndex } from '../../session/log-index.ts';
import { pauseEndMs, type Plan, type Result, type Start } from './plan.ts';

/** What it takes. */
export interface CarryOutDeps {
  readonly sessionId: string;
  readonly operations: Operations;
  /** The log as it is read, up to the start of what is carried out. */
  readonly index: LogIndex;
  /** Aborts when the lease is lost: nothing is answered then. */
  readonly lost: AbortSignal;
  readonly newId: () => string;
  readonly onResult: (result: Result) => void;
}

/** The operations under way. */
export interface Running {
  readonly size: number;
  /**
   * Starts what a plan starts, then tells all that is under way to stop where it says so. `first`: the number of the
   * first attempt here.
   */
  follow(plan: Plan, first: number): void;
}

const { attempts: MOST_ATTEMPTS, firstPauseMs, longestPauseMs, withinMs } = OPERATION_POLICY;

/** An operation on its way. */
interface Task extends Start {
  readonly after: LoopState;
  readonly interrupted: AbortSignal;
}

/** Makes the place where a session's operations run. */
export function createRunning(deps: CarryOutDeps): Running {
  const { lost, newId, onResult } = deps;
  const running = new Set<AbortController>();

  /** Again and again if need be. Rejects only when the lease is lost. */
  async function perform(task: Task, first: number): Promise<readonly Draft[]> {
    const { operation, spanId, interrupted } = task;
    for (let number = first; ; number += 1) {
      try {
        if (number > MOST_ATTEMPTS) throw new HopelessError(`its harness was lost ${number - 1} times`);
        return await attempt(deps, task, number);
      } catch (error) {
        if (lost.aborted) throw error;
        const isCancelled = interrupted.aborted;
        if (isCancelled || error instanceof HopelessError || number >= MOST_ATTEMPTS)
          return failureDrafts(operation, spanId, { isCancelled, reason: messageOf(error) }, newId());
        const pauseMs = Math.min(firstPauseMs * 2 ** (number - first), longestPauseMs);
        const signal = AbortSignal.any([lost, interrupted]);
        await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  function launch(start: Start, after: LoopState, first: number): void {
    const controller = new AbortController();
    running.add(controller);
    void perform({ ...start, after, interrupted: controller.signal }, first).then(
      (drafts) => {
        running.delete(controller);
        onResult({ operation: start.operation, drafts });
      },
      () => running.delete(controller),
    );
  }

  return {
    get size() {
      return running.size;
    },
    follow({ starts, cancel, state }, first) {
      for (const start of starts) launch(start, state, first);
      if (!cancel) return;
      for (const one of running) one.abort(new InterruptedError('interrupted'));
    },
  };
}

async function attempt(
  { sessionId, operations, index, lost }: CarryOutDeps,
  { operation, spanId, after, interrupted }: Task,
  number: number,
): Promise<readonly Draft[]> {
  const one: Attempt = {
    number,
    lost,
    watch: (run, whenLost) =>
      withLimit(operation, (late) =>
        runUntil({ interrupted, lost: AbortSignal.any([lost, late]) }, run, whenLost),
      ),
  };
  switch (operation.kind) {
    case 'model':
      return operations.think({ sessionId, spanId, leftMicrocents: operation.leftMicrocents }, one);
    case 'provision': {
      const { policy, provisionings } = after;
      const input = { sessionId, provisioning: `h${provisionings}`, network: policy.network };
      return operations.provision(input, one);
    }
    case 'tool': {
      const { callId, runner } = operation;
      if (runner === 'log') return operations.recall({ sessionId, callId }, one);
      if (!after.hand) throw new HopelessError('there is no hand to run the tool in');
      return operations.execute({ sessionId, callId, hand: after.hand }, one);
    }
    case 'timer': {
      const endMs = Math.min(pauseEndMs(index, operation.ms), Date.now() + operation.ms);
      await sleepUntil(endMs, AbortSignal.any([lost, interrupted]));
      return [];
    }
  }
}

/** Node's timers may end a millisecond before their time by the clock. */
async function sleepUntil(endMs: number, signal: AbortSignal): Promise<void> {
  for (let leftMs = endMs - Date.now(); leftMs > 0; leftMs = endMs - Date.now())
    await sleep(leftMs, undefined, { signal });
}

/** Aborts what takes longer than it may. */
async function withLimit<T>(operation: Operation, run: (late: AbortSignal) => Promise<T>): Promise<T> {
  const late = new AbortController();
  const kind = operation.kind === 'tool' ? operation.runner : operation.kind;
  const limitMs = kind === 'timer' ? undefined : withinMs[kind];
  const timer = setTimeout(() => late.abort(new Error(`it took more than ${limitMs} ms`)), limitMs);
  try {
    return await run(late.signal);
  } finally {
    clearTimeout(timer);
  }
}
