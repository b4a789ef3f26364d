/** Names and shapes of what goes into a session workflow; shared with `src/session/temporal.ts`. */
import type { Draft } from '../src/log.ts';

/** The workflow's type. */
export const SESSION_WORKFLOW = 'session';

/** The signal that carries events into the log. */
export const EMIT_SIGNAL = 'emit';

/** The signal that nudges; it carries nothing. */
export const WAKE_SIGNAL = 'wake';

/** The signal that ends the workflow because its session is being deleted; it writes no event. */
export const CLOSE_SIGNAL = 'close';

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
