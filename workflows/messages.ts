/** Names and shapes of what goes into a session workflow; shared with `src/engine/temporal/`. */
import type { Draft, Tally } from '../src/log.ts';
import type { RunLimits } from '../src/loop/run-limits.ts';
import type { LoopState } from '../src/loop/state.ts';

/** The workflow's type. */
export const SESSION_WORKFLOW = 'session';

/** The signal that carries events into the log. */
export const EMIT_SIGNAL = 'emit';

/** The signal that nudges; it carries nothing. */
export const WAKE_SIGNAL = 'wake';

/** The signal that ends the workflow because its session is being deleted; it writes no event. */
export const CLOSE_SIGNAL = 'close';

/** The signal that ends the workflow between two turns because its session goes on elsewhere; it writes no event. */
export const LEAVE_SIGNAL = 'leave';

/** The memo field whose upserts carry what the workflow itself writes. */
export const LOG_MEMO = 'log';

/** What the `emit` signal carries. */
export interface EmitInput {
  readonly drafts: readonly Draft[];
}

/** What a session's run starts from. `v`: the shape's version. */
export interface SessionInput {
  readonly v: 1;
  readonly drafts: readonly Draft[];
  /** For a run that does not begin its session. */
  readonly origin?: Origin;
  /** Left out: `RUN_LIMITS`. */
  readonly limits?: RunLimits;
}

/** What a session comes with: workflow code cannot read what it has been. */
export interface Origin {
  readonly sessionId: string;
  /** How often it has come to Temporal, this time included. */
  readonly life: number;
  /** The log that it has already. */
  readonly tally: Tally;
  /** What the loop remembers of it. */
  readonly state: LoopState;
  /** Left out: this run is the first one of its life. */
  readonly continues?: true;
}

/** The id of the workflow that a session's life is. No two lives share one, so that none can be taken for another. */
export function workflowIdOf(sessionId: string, life: number): string {
  return life === 1 ? sessionId : `${sessionId}@${life}`;
}

/** What a workflow's id says. */
export function partsOf(workflowId: string): { readonly sessionId: string; readonly life: number } {
  const [sessionId = '', life = '1'] = workflowId.split('@');
  return { sessionId, life: Number(life) };
}

/** The search attributes of a session workflow; all Keyword. */
export const SEARCH_ATTRIBUTES = {
  status: 'SessionStatus',
  agentId: 'AgentId',
  agentName: 'AgentName',
  environmentId: 'EnvironmentId',
  workspaceId: 'WorkspaceId',
  model: 'Model',
} as const;
