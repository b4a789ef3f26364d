/** What a new session is made of: its agent, its environment, and what this server cannot give it yet. */
import type { z } from 'zod';
import { newId } from '../../id.ts';
import type { Prices, SessionPolicy } from '../../log.ts';
import { pricesFor, type PriceTable } from '../../prices.ts';
import type { Records } from '../../records.ts';
import type { SessionSeed } from '../../session.ts';
import type { Environment } from '../../wire/environment.ts';
import { invalidRequest, notFound } from '../../wire/error.ts';
import { mergeMetadata } from '../../wire/fields.ts';
import { resolveOverrides, toAgentReference, type SessionAgent } from '../../wire/session-agent.ts';
import type { sessionCreateParams } from '../../wire/session.ts';
import { environmentNotFound } from './environments.ts';

/** Settings that a session keeps from its creation on; of the price table, what it needs. */
export interface SessionSettings extends Omit<SessionPolicy, 'network' | 'prices'> {
  readonly priceTable: PriceTable;
}

type Params = z.output<typeof sessionCreateParams>;

/** Resolves what the parameters name. Throws 404 for what is not there and 400 for what cannot be. */
export async function resolveSession(
  { records, settings }: { records: Records; settings: SessionSettings },
  workspaceId: string,
  params: Params,
): Promise<{ created: SessionSeed['created']; agent: SessionAgent }> {
  refuseUnsupported(params);
  const agent = await resolveAgent(records, workspaceId, params);
  const environment = await resolveEnvironment(records, workspaceId, params.environment_id);
  const { priceTable, ...policy } = settings;
  const models = [agent.model.id, ...(settings.judgeModel === null ? [] : [settings.judgeModel])];
  const prices = pricesFor(priceTable, models);
  const budget = params.budget ?? null;
  if (budget !== null) checkBudgetable(models, prices);
  const created: SessionSeed['created'] = {
    id: newId('sevt'),
    type: 'x.session_created',
    agent: { ...agent },
    agent_name: agent.name,
    model: agent.model.id,
    mcp_servers: agent.mcp_servers.map(({ name }) => name),
    environment_id: environment.id,
    workspace_id: workspaceId,
    title: params.title ?? null,
    metadata: mergeMetadata({}, params.metadata ?? {}),
    thread_id: newId('sthr'),
    policy: { ...policy, prices, network: networkOf(environment) },
    budget,
  };
  return { created, agent };
}

async function resolveAgent(
  records: Records,
  workspaceId: string,
  { agent: params }: Params,
): Promise<SessionAgent> {
  const { id, version } = toAgentReference(params);
  const newest = await records.agents.get({ workspaceId, id });
  if (!newest) throw notFound(`Agent \`${id}\` not found.`);
  if (newest.archived_at !== null) throw invalidRequest(`agent: agent ${id} is archived`);
  const agent = version === undefined ? newest : await records.agents.get({ workspaceId, id }, version);
  if (!agent) throw notFound(`agent.version: ${version} not found`);
  const snapshot = resolveOverrides(agent, params);
  if (snapshot.skills.length > 0) {
    throw invalidRequest(
      'agent.skills: skills are not supported by this server yet; override them with [] to run the agent',
    );
  }
  return snapshot;
}

async function resolveEnvironment(records: Records, workspaceId: string, id: string): Promise<Environment> {
  const environment = await records.environments.get({ workspaceId, id });
  if (!environment) throw environmentNotFound(id);
  if (environment.archived_at !== null) throw invalidRequest(`environment_id: environment ${id} is archived`);
  const { config } = environment;
  if (config.type === 'self_hosted') {
    throw invalidRequest(
      `environment_id: ${id} is a self-hosted environment, which this server does not support yet`,
    );
  }
  const packages = Object.entries(config.packages).filter(
    ([name, list]) => name !== 'type' && list.length > 0,
  );
  if (packages.length > 0) {
    throw invalidRequest(`environment_id: ${id} asks for packages, which this server does not install yet`);
  }
  return environment;
}

/** Limited networking needs the egress proxy that this server does not have yet: such hands get no network at all. */
function networkOf({ config }: Environment): 'none' | 'open' {
  return config.type === 'cloud' && config.networking.type === 'unrestricted' ? 'open' : 'none';
}

/** Throws 400 when one of the models has no list price: a budget could not hold it back (wire-api 27.3). */
function checkBudgetable(models: readonly string[], prices: Prices): void {
  const unpriced = models.find((model) => prices.models[model] === undefined);
  if (unpriced === undefined) return;
  throw invalidRequest(`budget: model ${unpriced} has no list price, so its cost cannot be limited`, {
    errorCode: 'model_not_budgetable',
  });
}

function refuseUnsupported({ resources, vault_ids }: Params): void {
  if (resources && resources.length > 0) throw invalidRequest('resources: not supported by this server yet');
  if (vault_ids && vault_ids.length > 0) throw notFound(`vault_ids[0]: vault ${vault_ids[0]} not found`);
}
