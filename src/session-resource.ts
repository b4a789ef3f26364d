/** The session resource of the API (wire-api section 9.2), made of a row and of what the log says. Pure. */
import { usageOf } from './loop/usage.ts';
import type { SessionView } from './session.ts';
import type { SessionAgent } from './wire/session-agent.ts';
import type { Session, SessionStatus } from './wire/session.ts';

/** What of a session is not in its log. */
export interface SessionFrame {
  readonly id: string;
  readonly createdAt: string;
  readonly archivedAt: string | null;
  readonly deploymentId: string | null;
}

/** The session resource. `nowMs`: for the seconds of a session that is running. */
export function toSession(frame: SessionFrame, view: SessionView, nowMs: number): Session {
  const usage = usageOf(view.loop, nowMs);
  const endMs = view.terminatedAt === null ? nowMs : Date.parse(view.terminatedAt);
  return {
    id: frame.id,
    type: 'session',
    agent: view.agent as unknown as SessionAgent,
    status: statusOf(view),
    environment_id: view.environmentId,
    title: view.title,
    metadata: { ...view.metadata },
    resources: [],
    vault_ids: [],
    deployment_id: frame.deploymentId,
    budget: view.loop.budget,
    outcome_evaluations: [],
    stats: {
      active_seconds: usage.active_seconds,
      duration_seconds: Math.max(0, endMs - Date.parse(frame.createdAt)) / 1000,
    },
    usage: { ...usage, list_cost: usage.list_cost ?? null },
    created_at: frame.createdAt,
    updated_at: view.updatedAt > frame.createdAt ? view.updatedAt : frame.createdAt,
    archived_at: frame.archivedAt,
  };
}

/** The status. A message that waits to be taken up at once makes a session running: it is about to be. */
export function statusOf({ loop, terminatedAt }: SessionView): SessionStatus {
  if (terminatedAt !== null) return 'terminated';
  const isAboutToRun = loop.status === 'idle' && loop.phase.at === 'rest' && loop.queue.length > 0;
  return isAboutToRun ? 'running' : loop.status;
}
