/** Carries operations of one session out: attempts, pauses, time limits, interrupts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { InterruptedError } from '../../brain.ts';
import type { Draft, Entry } from '../../log.ts';
import type { Operation } from '../../loop.ts';
import { failureDrafts, OPERATION_POLICY } from '../../loop/failure.ts';
import type { LoopState } from '../../loop/state.ts';
import { HopelessError, messageOf, runUntil, type Attempt, type Operations } from '../../operations.ts';
import { provisionings } from '../../view.ts';
import { pauseEndMs, type Result, type Start } from './plan.ts';

/** What it takes. */
export interface CarryOutDeps {
  readonly sessionId: string;
  readonly operations: Operations;
  /** The log as it is read, up to the start of what is carried out. */
  readonly entries: readonly Entry[];
  /** Aborts when the lease is lost: nothing is answered then. */
  readonly lost: AbortSignal;
  readonly newId: () => string;
  readonly onResult: (result: Result) => void;
}

/** The operations under way. */
export interface Running {
  readonly size: number;
  /** Starts an operation. `after`: what the loop remembers; `first`: the number of its first attempt here. */
  launch(start: Start, after: LoopState, first: number): void;
  /** Tells all of them that the user interrupts. */
  interrupt(): void;
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

  return {
    get size() {
      return running.size;
    },
    launch(start, after, first) {
      const controller = new AbortController();
      running.add(controller);
      void perform({ ...start, after, interrupted: controller.signal }, first).then(
        (drafts) => {
          running.delete(controller);
          onResult({ operation: start.operation, drafts });
        },
        () => running.delete(controller),
      );
    },
    interrupt() {
      for (const one of running) one.abort(new InterruptedError('interrupted'));
    },
  };
}

async function attempt(
  { sessionId, operations, entries, lost }: CarryOutDeps,
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
      const provisioning = `h${provisionings(entries)}`;
      return operations.provision({ sessionId, provisioning, network: after.policy.network }, one);
    }
    case 'tool': {
      const { callId, runner } = operation;
      if (runner === 'log') return operations.recall({ sessionId, callId }, one);
      if (!after.hand) throw new HopelessError('there is no hand to run the tool in');
      return operations.execute({ sessionId, callId, hand: after.hand }, one);
    }
    case 'timer': {
      const leftMs = Math.min(pauseEndMs(entries, operation.ms) - Date.now(), operation.ms);
      await sleep(Math.max(0, leftMs), undefined, { signal: AbortSignal.any([lost, interrupted]) });
      return [];
    }
  }
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
