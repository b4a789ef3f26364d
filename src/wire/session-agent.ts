/**
 * The agent of a session (wire-api sections 6.4, 9.1 and 9.3): a full snapshot that later updates of the agent never
 * touch, made from a version and the session's own overrides.
 */
import { z } from 'zod';
import { modelParams, resolveModel } from './agent-model.ts';
import { checkAgentParts } from './agent-rules.ts';
import { toolsParams } from './agent-tools.ts';
import {
  mcpServersParams,
  skillsParams,
  systemParams,
  toParts,
  type Agent,
  type AgentFields,
} from './agent.ts';
import { invalidRequest } from './error.ts';
import { sameJson } from './fields.ts';

/** What a session keeps of its agent. `id` and `version` name the base, whatever was overridden. */
export interface SessionAgent extends Omit<AgentFields, 'metadata'> {
  id: string;
  type: 'agent';
  version: number;
}

const reference = { id: z.string().min(1), version: z.int().min(1).optional() };

const plainReference = z.strictObject({ type: z.literal('agent'), ...reference });

const overrides = z.strictObject({
  type: z.literal('agent_with_overrides'),
  ...reference,
  // Null is let through so that it can be refused by its own code.
  model: modelParams.nullish(),
  system: systemParams.nullish(),
  tools: toolsParams.nullish(),
  mcp_servers: mcpServersParams.nullish(),
  skills: skillsParams.nullish(),
});

/** `agent` in the body of `POST /v1/sessions`: an id, a reference, or a reference with overrides. */
export const sessionAgentParams = z.union([
  z.string().min(1),
  z.discriminatedUnion('type', [plainReference, overrides]),
]);

/** `agent` in the body of `POST /v1/sessions`. */
export type SessionAgentParams = z.infer<typeof sessionAgentParams>;

/** Which agent, and which version of it, the parameter names. */
export function toAgentReference(params: SessionAgentParams): { id: string; version: number | undefined } {
  return typeof params === 'string'
    ? { id: params, version: undefined }
    : { id: params.id, version: params.version };
}

/**
 * The snapshot for a new session. Left out is inherited, null and empty are cleared, anything else replaces whole;
 * a model that is given brings its own effort and place. Throws 400 when the result does not fit together.
 */
export function resolveOverrides(agent: Agent, params: SessionAgentParams): SessionAgent {
  const base = toSessionAgent(agent);
  if (typeof params === 'string' || params.type === 'agent') return base;
  if (params.model === null) {
    throw invalidRequest("agent.model: an agent needs a model; leave it out to keep the agent's own", {
      errorCode: 'agent_model_required',
    });
  }
  const snapshot: SessionAgent = {
    ...base,
    model: params.model === undefined ? base.model : resolveModel(params.model),
    system: params.system === undefined ? base.system : params.system || null,
    ...toParts(params, base),
  };
  checkAgentParts(snapshot);
  return snapshot;
}

/** `agent` in the body of `POST /v1/sessions/{id}`. `system` and `skills` are named only to be refused in words. */
export const sessionAgentUpdateParams = z.strictObject({
  tools: toolsParams.nullish(),
  mcp_servers: mcpServersParams.nullish(),
  system: z.unknown().optional(),
  skills: z.unknown().optional(),
});

/** `agent` in the body of `POST /v1/sessions/{id}`. */
export type SessionAgentUpdateParams = z.infer<typeof sessionAgentUpdateParams>;

/** The snapshot after an update: the argument itself when nothing changes. Throws 400 when the result does not fit. */
export function updateSessionAgent(agent: SessionAgent, params: SessionAgentUpdateParams): SessionAgent {
  for (const field of ['system', 'skills'] as const) {
    if (params[field] === undefined) continue;
    throw invalidRequest(
      `\`agent.${field}\`: only \`tools\` and \`mcp_servers\` are updatable. To change other fields, create a new session.`,
    );
  }
  const { tools, mcp_servers } = params;
  const changed: SessionAgent = { ...agent, ...toParts({ tools, mcp_servers }, agent) };
  checkAgentParts(changed);
  return sameJson(changed, agent) ? agent : changed;
}

function toSessionAgent(agent: Agent): SessionAgent {
  const { metadata: _, created_at: _created, updated_at: _updated, archived_at: _archived, ...rest } = agent;
  return rest;
}
