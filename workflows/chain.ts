/** The chain of a session's runs: when one ends, and what the next one begins with. */
import * as workflow from '@temporalio/workflow';
import type { Counter } from '../src/log.ts';
import { isBetweenTurns } from '../src/loop.ts';
import type { RunLimits } from '../src/loop/run-limits.ts';
import { isBusy, type LoopState } from '../src/loop/state.ts';
import { LOG_MEMO, SESSION_WORKFLOW, type SessionInput } from './messages.ts';

/** What of a run the next one depends on. */
export interface Link {
  readonly sessionId: string;
  readonly life: number;
  readonly limits: RunLimits;
  readonly counter: Counter;
  readonly state: LoopState;
  /** Whether the run before is still being put into the archive. */
  readonly isSealing: boolean;
}

/** However long a turn is, its run does not become longer than so many times the limits if that can be helped. */
const MID_TURN = 4;

/**
 * Whether the session is to go on in another run: at the end of a turn if possible, and only when nothing is under way,
 * because nothing of that could be taken along.
 */
export function isFull(
  { state, limits, isSealing }: Pick<Link, 'state' | 'limits' | 'isSealing'>,
  {
    historyLength,
    historySize,
    continueAsNewSuggested,
  }: Pick<workflow.WorkflowInfo, 'historyLength' | 'historySize' | 'continueAsNewSuggested'>,
): boolean {
  if (isBusy(state) || state.status === 'terminated') return false;
  const fill = Math.max(historyLength / limits.events, historySize / limits.bytes);
  const isLong = fill >= 1 || continueAsNewSuggested;
  // Without this the archive could fall behind, run by run.
  const mayEnd = isBetweenTurns(state) && !isSealing;
  return (isLong && mayEnd) || fill >= MID_TURN;
}

/** Ends this run and begins the next one. What has come in unseen makes the server refuse it, and ask anew. */
export async function goOn({ sessionId, life, limits, counter, state }: Link): Promise<never> {
  const { [LOG_MEMO]: _, ...memo } = workflow.workflowInfo().memo ?? {};
  const next = workflow.makeContinueAsNewFunc<(input: SessionInput) => Promise<unknown>>({
    workflowType: SESSION_WORKFLOW,
    memo,
  });
  const origin = { sessionId, life, tally: counter.tally(), state, continues: true } as const;
  return await next({ v: 1, drafts: [], origin, limits });
}
