/**
 * Agents (wire-api section 6): what clients send, what is kept, and the pure steps between them. A version is
 * immutable; an update makes the next one, unless it changes nothing.
 */
import { z } from 'zod';
import { modelParams, resolveModel, type ModelConfig } from './agent-model.ts';
import { checkAgentParts, type McpServer } from './agent-rules.ts';
import { resolveTools, toolsParams, type Tool } from './agent-tools.ts';
import { conflict, invalidRequest } from './error.ts';
import { mergeMetadata, metadataParams, metadataPatch, sameJson, text, type Metadata } from './fields.ts';

/** A skill of the agent. */
type AgentSkill =
  | { type: 'anthropic'; skill_id: string; version: string }
  | { type: 'custom'; skill_id: string; version: string };

/** What can be changed of an agent. */
export interface AgentFields {
  name: string;
  description: string | null;
  model: ModelConfig;
  system: string | null;
  tools: Tool[];
  mcp_servers: McpServer[];
  skills: AgentSkill[];
  multiagent: null;
  execution_identity: { type: 'service_account' };
  metadata: Metadata;
}

/** One version of an agent, as it is kept and shown. */
export interface Agent extends AgentFields {
  id: string;
  type: 'agent';
  version: number;
  created_at: string;
  updated_at: string;
  archived_at: string | null;
}

const skill = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('anthropic'), skill_id: text(256, 1), version: text(64, 1).nullish() }),
  z.strictObject({ type: z.literal('custom'), skill_id: text(256, 1), version: text(64, 1).nullish() }),
]);

/** `skills` as clients send them. */
export const skillsParams = z.array(skill).max(500);

/** `mcp_servers` as clients send them. */
export const mcpServersParams = z
  .array(
    z.strictObject({
      type: z.literal('url'),
      name: text(255, 1),
      url: text(2048, 1).pipe(z.url({ protocol: /^https?$/, error: 'must be an http or https URL' })),
    }),
  )
  .max(20);

/** `system` as clients send it. */
export const systemParams = text(100_000);

const description = text(2048);
const name = text(256, 1);

const multiagent = z.null({
  error: 'multiagent is not supported by this server yet; send null or leave it out',
});

const executionIdentity = z.discriminatedUnion(
  'type',
  [z.strictObject({ type: z.literal('service_account') })],
  { error: 'this server supports only {"type":"service_account"}' },
);

const shared = {
  description: description.nullish(),
  system: systemParams.nullish(),
  tools: toolsParams.nullish(),
  mcp_servers: mcpServersParams.nullish(),
  skills: skillsParams.nullish(),
  multiagent: multiagent.optional(),
  execution_identity: executionIdentity.nullish(),
};

/** Body of `POST /v1/agents`. */
export const agentCreateParams = z.strictObject({
  name,
  model: modelParams,
  ...shared,
  metadata: metadataParams.nullish(),
});

/** Body of `POST /v1/agents/{id}`. */
export const agentUpdateParams = z.strictObject({
  name: name.optional(),
  model: modelParams.optional(),
  ...shared,
  metadata: metadataPatch.nullish(),
  version: z.int().min(1).optional(),
});

/** Body of `POST /v1/agents`. */
export type AgentCreateParams = z.infer<typeof agentCreateParams>;

/** Body of `POST /v1/agents/{id}`. */
export type AgentUpdateParams = z.infer<typeof agentUpdateParams>;

/** What a new agent gets from outside. */
export interface Birth {
  readonly id: string;
  readonly now: string;
}

/** The first version of an agent. Throws 400 when its parts do not fit together. */
export function createAgent(params: AgentCreateParams, { id, now }: Birth): Agent {
  checkAgentParts(toParts(params));
  return {
    id,
    type: 'agent',
    version: 1,
    name: params.name,
    description: params.description || null,
    model: resolveModel(params.model),
    system: params.system || null,
    ...toParts(params),
    multiagent: null,
    execution_identity: { type: 'service_account' },
    metadata: mergeMetadata({}, params.metadata),
    created_at: now,
    updated_at: now,
    archived_at: null,
  };
}

/**
 * The agent after an update: the argument itself when nothing changes, else the next version. Throws 409 when the
 * caller's `version` is not the present one, even if nothing would change (wire-api section 6.2).
 */
export function updateAgent(agent: Agent, params: AgentUpdateParams, now: string): Agent {
  if (agent.archived_at !== null) throw invalidRequest('Cannot modify archived agent');
  if (params.version !== undefined && params.version !== agent.version) {
    throw conflict('Concurrent modification detected');
  }
  const changed: Agent = {
    ...agent,
    name: params.name ?? agent.name,
    description: params.description === undefined ? agent.description : params.description || null,
    model: params.model === undefined ? agent.model : resolveModel(params.model, agent.model),
    system: params.system === undefined ? agent.system : params.system || null,
    ...toParts(params, agent),
    metadata: mergeMetadata(agent.metadata, params.metadata),
  };
  checkAgentParts(changed);
  if (sameJson(changed, agent)) return agent;
  return { ...changed, version: agent.version + 1, updated_at: now };
}

/** The agent, archived: it makes no new version. Archiving twice changes nothing. */
export function archiveAgent(agent: Agent, now: string): Agent {
  return agent.archived_at === null ? { ...agent, archived_at: now } : agent;
}

/** The parts of an agent that are replaced whole. */
export interface PartsParams {
  readonly tools?: z.infer<typeof toolsParams> | null | undefined;
  readonly mcp_servers?: z.infer<typeof mcpServersParams> | null | undefined;
  readonly skills?: z.infer<typeof skillsParams> | null | undefined;
}

/** Left out: inherited, where there is something to inherit. Null or empty: cleared. Else replaced whole. */
export function toParts(
  params: PartsParams,
  base: Pick<AgentFields, 'tools' | 'mcp_servers' | 'skills'> = { tools: [], mcp_servers: [], skills: [] },
): Pick<AgentFields, 'tools' | 'mcp_servers' | 'skills'> {
  const { tools, mcp_servers, skills } = params;
  return {
    tools: tools === undefined ? base.tools : resolveTools(tools ?? []),
    mcp_servers: mcp_servers === undefined ? base.mcp_servers : (mcp_servers ?? []),
    skills:
      skills === undefined
        ? base.skills
        : (skills ?? []).map(({ type, skill_id, version }) => ({
            type,
            skill_id,
            version: version ?? 'latest',
          })),
  };
}
