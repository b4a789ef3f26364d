/**
 * A session as a Temporal workflow: the interpreter of `src/loop.ts`. It decides nothing. Its history is the
 * session's log: client events come in by signal; what the loop writes rides on the scheduling of the operation
 * that follows, or else on an upsert of the memo; what operations produce is their result.
 */
import { defineSearchAttributeKey } from '@temporalio/common';
import * as workflow from '@temporalio/workflow';
import type { Carrier, SessionActivities } from '../activities/contract.ts';
import { createCounter, type Author, type Draft } from '../src/log.ts';
import { author, decide, endsUnbegunTurn, isBetweenTurns, type Operation } from '../src/loop.ts';
import { failureDrafts, OPERATION_POLICY } from '../src/loop/failure.ts';
import { RUN_LIMITS } from '../src/loop/run-limits.ts';
import { began, cancelled, closed, EMPTY, ended, fold, type LoopState } from '../src/loop/state.ts';
import { toId } from '../src/wire/id.ts';
import { goOn, isFull, type Link } from './chain.ts';
import {
  CLOSE_SIGNAL,
  EMIT_SIGNAL,
  LEAVE_SIGNAL,
  LOG_MEMO,
  SEARCH_ATTRIBUTES,
  WAKE_SIGNAL,
  type EmitInput,
  type Origin,
  type SessionInput,
} from './messages.ts';

const emit = workflow.defineSignal<[EmitInput]>(EMIT_SIGNAL);
const wake = workflow.defineSignal(WAKE_SIGNAL);
const close = workflow.defineSignal(CLOSE_SIGNAL);
const leave = workflow.defineSignal(LEAVE_SIGNAL);

const HEARTBEAT_TIMEOUT_MS = 3000;
/** What it was in runs that older code began. */
const OLDER_TIMEOUT_MS = 4000;

/**
 * Heartbeats every second and a short timeout: that is what makes a killed worker's operation start again within
 * seconds. A retry here means that a worker was lost; failures of the model are results, and the loop retries them.
 */
const REMOTE = {
  heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  retry: {
    initialInterval: OPERATION_POLICY.firstPauseMs,
    backoffCoefficient: 2,
    maximumInterval: OPERATION_POLICY.longestPauseMs,
    maximumAttempts: OPERATION_POLICY.attempts,
  },
} as const satisfies Partial<workflow.ActivityOptions>;

const { withinMs } = OPERATION_POLICY;

/** For what is over in an instant and has nobody to hear heartbeats. */
const BRIEF = { ...REMOTE, heartbeatTimeout: undefined, startToCloseTimeout: '1m' } as const;

/** What nothing can be done without. */
const FOR_EVER = { ...REMOTE.retry, maximumAttempts: Number.POSITIVE_INFINITY };

const statusAttribute = defineSearchAttributeKey(SEARCH_ATTRIBUTES.status, 'KEYWORD');
const pen = { newId: () => toId('sevt', workflow.uuid4()), nowMs: () => Date.now() };

/** A session at work. */
interface Run extends Link {
  readonly scopes: Set<workflow.CancellationScope>;
  state: LoopState;
  /** Counts what arrived, so that the main loop notices. */
  arrivals: number;
  /** Whether the session is to go on elsewhere. */
  isLeaving: boolean;
  isSealing: boolean;
  shownStatus: string;
}

/** Runs a session until it is terminated, or leaves: what it answers is for people who look at the workflow. */
export async function session(input: SessionInput): Promise<'moved' | undefined> {
  const { drafts, origin } = input;
  const run = begin(input);
  absorb(run, drafts);
  workflow.setHandler(emit, ({ drafts }) => absorb(run, drafts, 'client'));
  workflow.setHandler(wake, () => absorb(run, []));
  workflow.setHandler(close, () => {
    run.state = closed(run.state);
    absorb(run, []);
  });
  workflow.setHandler(leave, () => {
    run.isLeaving = true;
    absorb(run, []);
  });
  if (origin?.continues) seal(run);
  // Whoever started this may have been overtaken.
  else if (origin && !(await isAtHome(origin))) return 'moved';
  if (origin) showDetails(run);

  for (;;) {
    run.state = asRecorded(run.state);
    const step = decide(run.state);
    showStatus(run);
    // A signal that comes at this moment is not lost: the server lets no workflow complete that has not seen it.
    if (run.isLeaving && isBetweenTurns(run.state)) return 'moved';
    if (isFull(run, workflow.workflowInfo())) await goOn(run);
    if (!step) {
      const seen = run.arrivals;
      await workflow.condition(() => run.arrivals !== seen);
      continue;
    }
    if (step.finish) break;
    if (step.cancel) {
      run.state = cancelled(run.state);
      for (const scope of run.scopes) scope.cancel();
      continue;
    }
    const drafts = author(run.state, step.write, pen);
    absorb(run, drafts);
    const rides = step.start.some(({ kind }) => kind !== 'timer');
    if (!rides) record(drafts);
    step.start.forEach((operation, index) => launch(run, operation, rides && index === 0 ? drafts : []));
  }
  await release(run);
  return undefined;
}

/** What runs that older code began do otherwise, as far as they are recorded (docs/adr/0024). */
function asRecorded(state: LoopState): LoopState {
  const isAsEver = !endsUnbegunTurn(state) || workflow.patched('interrupt ends unbegun turn');
  return isAsEver ? state : { ...state, overtaken: [] };
}

function begin({ origin, limits = RUN_LIMITS }: SessionInput): Run {
  const state = origin ? { ...EMPTY, ...origin.state } : EMPTY;
  return {
    sessionId: origin?.sessionId ?? workflow.workflowInfo().workflowId,
    life: origin?.life ?? 1,
    limits,
    scopes: new Set(),
    counter: createCounter(origin?.tally),
    state,
    arrivals: 0,
    isLeaving: false,
    isSealing: false,
    shownStatus: origin?.continues ? state.status : 'idle',
  };
}

/** Has the archive take in what came before this run. The session does not wait for it. */
function seal(run: Run): void {
  run.isSealing = true;
  void workflow
    .proxyActivities<SessionActivities>({ ...BRIEF, retry: FOR_EVER, summary: 'seal the run before' })
    .seal({ sessionId: run.sessionId, life: run.life })
    .then(() => {
      run.isSealing = false;
      absorb(run, []);
    });
}

async function isAtHome({ sessionId, life }: Origin): Promise<boolean> {
  return await workflow
    .proxyActivities<SessionActivities>({ ...BRIEF, retry: FOR_EVER, summary: 'see where the session lives' })
    .isAtHome({ sessionId, life });
}

function absorb(run: Run, drafts: readonly Draft[], by: Author = 'server'): void {
  const entries = drafts.filter((draft) => run.counter.admits(draft, by));
  run.state = fold(run.state, entries, Date.now());
  run.arrivals += 1;
}

/**
 * Writes what the workflow itself decided into its history, when no operation follows that it could ride on. An
 * upsert of the memo is one event in the very task that decides (docs/adr/0003); the memo keeps only the last.
 */
function record(drafts: readonly Draft[]): void {
  if (drafts.length > 0) workflow.upsertMemo({ [LOG_MEMO]: { drafts } });
}

/** Starts an operation without waiting for it; its result is folded whenever it comes. */
function launch(run: Run, operation: Operation, drafts: readonly Draft[]): void {
  const callId = operation.kind === 'tool' ? operation.callId : '';
  const spanId = run.state.phase.at === 'thinking' ? run.state.phase.spanId : '';
  const scope = new workflow.CancellationScope();
  const sinceMs = Date.now();
  run.scopes.add(scope);
  run.state = began(run.state, operation.kind, callId);
  void scope
    .run(() => perform(run, operation, { drafts, spanId }))
    .catch((error: unknown) => {
      const lostAttempts = scope.consideredCancelled ? attemptsLost(error, Date.now() - sinceMs) : 0;
      if (lostAttempts === 0 || !leavesTraces(operation)) throw error;
      return workflow.CancellationScope.nonCancellable(() =>
        perform(run, operation, { drafts: [], spanId, lostAttempts }),
      );
    })
    .catch((error: unknown) => recordFailure(operation, spanId, error, scope.consideredCancelled))
    .then((result) => {
      run.scopes.delete(scope);
      absorb(run, result.drafts);
      run.state = ended(run.state, operation.kind, callId);
    });
}

async function perform(
  run: Run,
  operation: Operation,
  { drafts, spanId, lostAttempts }: Carrier & { spanId: string; lostAttempts?: number },
): Promise<Carrier> {
  const { sessionId, state } = run;
  switch (operation.kind) {
    case 'model':
      return remote(operation.summary, withinMs.model, spanId).brain({
        sessionId,
        spanId,
        leftMicrocents: operation.leftMicrocents,
        lostAttempts,
        drafts,
      });
    case 'provision':
      return remote('provision a hand', withinMs.provision).provision({
        sessionId,
        provisioning: `h${state.provisionings}`,
        network: state.policy.network,
        drafts,
      });
    case 'tool': {
      if (operation.runner === 'log')
        return remote(operation.summary, withinMs.log, operation.callId).recall({
          sessionId,
          callId: operation.callId,
          drafts,
        });
      if (!state.hand) throw workflow.ApplicationFailure.nonRetryable('there is no hand to run the tool in');
      const { callId, summary } = operation;
      const input = { sessionId, callId, hand: state.hand, lostAttempts, drafts };
      return remote(summary, withinMs.hand, callId).execute(input);
    }
    case 'timer':
      await workflow.sleep(operation.ms);
      return { drafts: [] };
  }
}

/** The activities under a summary that the Temporal UI shows. The id ties an activity to its event in the log. */
function remote(summary: string, startToCloseTimeout: number, activityId?: string) {
  const id = activityId === undefined ? {} : { activityId };
  return workflow.proxyActivities<SessionActivities>({ ...REMOTE, ...id, summary, startToCloseTimeout });
}

/**
 * How many attempts ended with their workers, where it was that which ended the operation. One that was cancelled while
 * it waited for its next attempt does not say so; but it takes a heartbeat timeout to get there.
 */
function attemptsLost(error: unknown, tookMs: number): number {
  if (!(error instanceof workflow.ActivityFailure)) return 0;
  if (workflow.isCancellation(error)) return isLongerThanHeartbeat(tookMs) ? 1 : 0;
  if (!(error.cause instanceof workflow.TimeoutFailure)) return 0;
  const { timeoutType, lastHeartbeatDetails: attempt } = error.cause;
  if (timeoutType !== 'HEARTBEAT') return 0;
  return typeof attempt === 'number' ? attempt : 1;
}

function isLongerThanHeartbeat(tookMs: number): boolean {
  if (tookMs >= OLDER_TIMEOUT_MS) return true;
  return tookMs >= HEARTBEAT_TIMEOUT_MS && workflow.patched('heartbeats within three seconds');
}

/** Whether something runs on, or has been spent, after the worker that carries the operation out is lost. */
function leavesTraces(operation: Operation): boolean {
  return operation.kind === 'model' || (operation.kind === 'tool' && operation.runner === 'hand');
}

/** An operation without a result: its worker was lost for good, or it was cancelled before it began. */
function recordFailure(operation: Operation, spanId: string, error: unknown, isCancelled: boolean): Carrier {
  const reason = workflow.rootCause(error) ?? String(error);
  const drafts = failureDrafts(operation, spanId, { isCancelled, reason }, pen.newId());
  record(drafts);
  return { drafts };
}

function showStatus(run: Run): void {
  const { status } = run.state;
  if (status === run.shownStatus) return;
  run.shownStatus = status;
  workflow.upsertSearchAttributes([{ key: statusAttribute, value: status }]);
  showDetails(run);
}

function showDetails({ state: { status, agentName, model, hand } }: Run): void {
  workflow.setCurrentDetails(`**${status}**, agent ${agentName} on ${model}, hand ${hand?.id ?? 'none'}`);
}

async function release({ state: { hand } }: Run): Promise<void> {
  if (!hand) return;
  try {
    await workflow
      .proxyActivities<SessionActivities>({ ...BRIEF, summary: 'release the hand' })
      .release({ hand });
  } catch {
    workflow.log.warn('the hand could not be released; the reaper will take it', { hand: hand.id });
  }
}
