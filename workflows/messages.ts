/** Names and shapes of what goes into a session workflow; shared with `src/engine/temporal/`. */
import type { Draft } from '../src/log.ts';
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
  /** For a session that comes from elsewhere. */
  readonly origin?: Origin;
}

/** What a session comes with: workflow code cannot read what it has been. */
export interface Origin {
  readonly sessionId: string;
  /** How often it has come to Temporal, this time included. */
  readonly life: number;
  /** How many entries its log has already. */
  readonly base: number;
  /** What the loop remembers of them. */
  readonly state: LoopState;
}

/** The id of the workflow that a session's life is. No two lives share one, so that none can be taken for another. */
export function workflowIdOf(sessionId: string, life: number): string {
  return life === 1 ? sessionId : `${sessionId}@${life}`;
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
