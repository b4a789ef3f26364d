/**
 * Port: records. What the control plane keeps: keys, agents with their versions, environments, and one row a
 * session (the session itself is its event log). Every row belongs to a workspace; a row of another workspace is
 * simply not found.
 *
 * Times are RFC 3339 texts in UTC with six fractional digits, so that text order is time order in every database.
 * Lists are keyset slices: sorted by creation and id, versions by number.
 */
import type { Agent } from './wire/agent.ts';
import type { Environment } from './wire/environment.ts';
import type { Slice, SliceRequest } from './wire/page.ts';

/** The workspace of the server's first key. */
export const DEFAULT_WORKSPACE_ID = 'wrkspc_default';

/** The name is held by another row of the workspace. */
export class NameTakenError extends Error {
  override readonly name = 'NameTakenError';
}

/** The agent or the environment that a new row names is not there, or no longer. */
export class MissingReferenceError extends Error {
  override readonly name = 'MissingReferenceError';
}

/** Bounds on the time of creation. */
export interface CreatedAt {
  readonly gt?: string | undefined;
  readonly gte?: string | undefined;
  readonly lt?: string | undefined;
  readonly lte?: string | undefined;
}

/** Names one row. */
export interface RowId {
  readonly workspaceId: string;
  readonly id: string;
}

/** API keys, known only by their SHA-256. */
export interface ApiKeyRecords {
  /** Adding a hash again moves it to the workspace given. */
  add(hash: string, workspaceId: string): Promise<void>;
  find(hash: string): Promise<{ readonly workspaceId: string } | undefined>;
}

/** Agents; each version is kept for ever. */
export interface AgentRecords {
  insert(workspaceId: string, agent: Agent): Promise<void>;
  /** The newest version, or the one asked for. `archived_at` is always the present one. */
  get(row: RowId, version?: number): Promise<Agent | undefined>;
  list(workspaceId: string, filter: AgentFilter, slice: SliceRequest): Promise<Slice<Agent>>;
  /** All versions by number; undefined when there is no such agent. The key of a version is `[version]`. */
  versions(row: RowId, slice: SliceRequest): Promise<Slice<Agent> | undefined>;
  /**
   * Compare and set: no other process can change the agent between what `change` is given and what it returns.
   * `change` must be pure and quick. Returning its argument itself writes nothing; a higher `version` is kept as a
   * new version; what it throws undoes everything and is thrown on.
   */
  update(row: RowId, change: (current: Agent) => Agent): Promise<Agent | undefined>;
}

/** Which agents to list. */
interface AgentFilter {
  readonly createdAt?: CreatedAt | undefined;
  readonly includeArchived: boolean;
}

/** Environments. Names are unique within a workspace. */
export interface EnvironmentRecords {
  /** @throws {NameTakenError} */
  insert(workspaceId: string, environment: Environment): Promise<void>;
  get(row: RowId): Promise<Environment | undefined>;
  list(
    workspaceId: string,
    filter: { includeArchived: boolean },
    slice: SliceRequest,
  ): Promise<Slice<Environment>>;
  /**
   * Compare and set, as for agents.
   *
   * @throws {NameTakenError}
   */
  update(row: RowId, change: (current: Environment) => Environment): Promise<Environment | undefined>;
  /** Refuses while a session, archived or not, names the environment. */
  delete(row: RowId): Promise<'deleted' | 'in_use' | 'missing'>;
}

/** `creating` until its log exists, `deleting` from the moment its erasure began; both are finished by a sweeper. */
type SessionState = 'creating' | 'ready' | 'deleting';

/** What the control plane keeps of a session. */
export interface SessionRow extends RowId {
  readonly agentId: string;
  readonly agentVersion: number;
  readonly environmentId: string;
  readonly deploymentId: string | null;
  readonly createdAt: string;
  readonly archivedAt: string | null;
  readonly state: SessionState;
}

/** Which sessions to list. Rows being created or deleted are left out unless `states` names them. */
export interface SessionFilter {
  readonly agentId?: string | undefined;
  readonly agentVersion?: number | undefined;
  readonly createdAt?: CreatedAt | undefined;
  readonly deploymentId?: string | undefined;
  readonly includeArchived: boolean;
  readonly states?: readonly SessionState[] | undefined;
}

/** Sessions. `get` finds rows of every state: the caller decides which of them it shows. */
export interface SessionRecords {
  /** @throws {MissingReferenceError} */
  insert(session: SessionRow): Promise<void>;
  get(row: RowId): Promise<SessionRow | undefined>;
  list(workspaceId: string, filter: SessionFilter, slice: SliceRequest): Promise<Slice<SessionRow>>;
  /** With `from`, only a row in that state is changed. Says whether a row was. */
  setState(row: RowId, state: SessionState, from?: SessionState): Promise<boolean>;
  /** The first time stands. Says whether there is such a row. */
  setArchived(row: RowId, archivedAt: string): Promise<boolean>;
  delete(row: RowId): Promise<boolean>;
  countByEnvironment(workspaceId: string, environmentId: string): Promise<number>;
  /** Oldest first, over all workspaces: for the sweeper. */
  listByState(state: SessionState, limit: number): Promise<readonly SessionRow[]>;
}

/** The port. Implementation: `records/open.ts`. Every method may throw what `storage-error.ts` has. */
export interface Records {
  readonly apiKeys: ApiKeyRecords;
  readonly agents: AgentRecords;
  readonly environments: EnvironmentRecords;
  readonly sessions: SessionRecords;
  close(): Promise<void>;
}
