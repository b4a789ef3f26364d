/** The tables, as the query builder sees them. Plain types only, so that they are the same in every database. */

/** API keys by their SHA-256. */
interface ApiKeyTable {
  hash: string;
  workspace_id: string;
}

/** The present state of an agent. What it is, is in its versions. */
interface AgentTable {
  id: string;
  workspace_id: string;
  version: number;
  created_at: string;
  archived_at: string | null;
}

/** One immutable version; `data` is the wire's object as JSON. */
interface AgentVersionTable {
  agent_id: string;
  workspace_id: string;
  version: number;
  data: string;
}

/** Environments; `data` is the wire's object as JSON. */
interface EnvironmentTable {
  id: string;
  workspace_id: string;
  name: string;
  created_at: string;
  archived_at: string | null;
  data: string;
}

/** Sessions. */
export interface SessionTable {
  id: string;
  workspace_id: string;
  agent_id: string;
  agent_version: number;
  environment_id: string;
  deployment_id: string | null;
  created_at: string;
  archived_at: string | null;
  state: 'creating' | 'ready' | 'deleting';
}

/** Heavy content of sessions, by its SHA-256. */
interface BlobTable {
  session_id: string;
  sha256: string;
  data: Uint8Array;
}

/** All tables. */
export interface Tables {
  api_keys: ApiKeyTable;
  agents: AgentTable;
  agent_versions: AgentVersionTable;
  environments: EnvironmentTable;
  sessions: SessionTable;
  blobs: BlobTable;
}
