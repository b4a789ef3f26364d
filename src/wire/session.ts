/** Sessions on the wire (wire-api section 9): what comes in, and the resource that goes out. Pure. */
import { z } from 'zod';
import { budgetParams, type Budget, type Money } from './budget.ts';
import type { SessionUsage } from './event.ts';
import { metadataParams, metadataPatch, text } from './fields.ts';
import { sessionAgentParams, sessionAgentUpdateParams, type SessionAgent } from './session-agent.ts';

/** The four statuses of a session. */
export const SESSION_STATUSES = ['rescheduling', 'running', 'idle', 'terminated'] as const;

/** One of the four. */
export type SessionStatus = (typeof SESSION_STATUSES)[number];

const title = text(500).nullable();

/** The body of `POST /v1/sessions`. Events and what this server lacks are checked on their own. */
export const sessionCreateParams = z.strictObject({
  agent: sessionAgentParams,
  environment_id: z.string().min(1),
  title: title.optional(),
  metadata: metadataParams.optional(),
  initial_events: z.array(z.unknown()).max(50).nullish(),
  resources: z.array(z.unknown()).max(500).nullish(),
  vault_ids: z.array(z.string()).nullish(),
  budget: budgetParams.nullish(),
});

/** The body of `POST /v1/sessions/{id}`. */
export const sessionUpdateParams = z.strictObject({
  title: title.optional(),
  metadata: metadataPatch.nullish(),
  agent: sessionAgentUpdateParams.optional(),
  vault_ids: z.unknown().optional(),
  budget: budgetParams.nullish(),
});

/** The body of `POST /v1/sessions/{id}`. */
export type SessionUpdateParams = z.output<typeof sessionUpdateParams>;

/** A session as the API answers it. */
export interface Session {
  id: string;
  type: 'session';
  agent: SessionAgent;
  status: SessionStatus;
  environment_id: string;
  title: string | null;
  metadata: Record<string, string>;
  resources: never[];
  vault_ids: never[];
  deployment_id: string | null;
  budget: Budget | null;
  outcome_evaluations: never[];
  stats: { active_seconds: number; duration_seconds: number };
  usage: Omit<SessionUsage, 'list_cost'> & { list_cost: Money | null };
  created_at: string;
  updated_at: string;
  archived_at: string | null;
}
