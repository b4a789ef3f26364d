/** Agents (wire-api section 6): six routes between the records and the pure rules of `wire/agent.ts`. */
import { newId } from '../../id.ts';
import type { AgentRecords, RowId } from '../../records.ts';
import {
  agentCreateParams,
  agentUpdateParams,
  archiveAgent,
  createAgent,
  updateAgent,
  type Agent,
} from '../../wire/agent.ts';
import { notFound, type ApiError } from '../../wire/error.ts';
import type { App } from '../app.ts';
import { readBody } from '../body.ts';
import type { Clock } from '../clock.ts';
import { toPage, toSliceRequest } from '../paging.ts';
import { boolParam, intParam, limitParam, readQuery, textParam, timeParam } from '../query.ts';

/** What the routes are made of. */
export interface AgentRouteDeps {
  readonly agents: AgentRecords;
  readonly now: Clock;
}

const listQuery = {
  'created_at[gte]': timeParam(),
  'created_at[lte]': timeParam(),
  include_archived: boolParam(),
  limit: limitParam(100, 20),
  page: textParam(),
};

const versionsQuery = { limit: limitParam(100, 20), page: textParam() };

/** Adds the routes. */
export function mountAgents(app: App, deps: AgentRouteDeps): void {
  mountWrites(app, deps);
  mountReads(app, deps);
}

function mountWrites(app: App, { agents, now }: AgentRouteDeps): void {
  app.post('/v1/agents', async (c) => {
    const params = await readBody(c, agentCreateParams);
    const agent = createAgent(params, { id: newId('agent'), now: now() });
    await agents.insert(c.get('workspaceId'), agent);
    return c.json(agent);
  });

  app.post('/v1/agents/:id', async (c) => {
    const row: RowId = { workspaceId: c.get('workspaceId'), id: c.req.param('id') };
    const params = await readBody(c, agentUpdateParams);
    return c.json(found(row, await agents.update(row, (agent) => updateAgent(agent, params, now()))));
  });

  app.post('/v1/agents/:id/archive', async (c) => {
    const row: RowId = { workspaceId: c.get('workspaceId'), id: c.req.param('id') };
    return c.json(found(row, await agents.update(row, (agent) => archiveAgent(agent, now()))));
  });
}

function mountReads(app: App, { agents }: AgentRouteDeps): void {
  app.get('/v1/agents', async (c) => {
    const query = readQuery(c, listQuery);
    const createdAt = { gte: query['created_at[gte]'], lte: query['created_at[lte]'] };
    const request = { ...query, list: 'agents', order: 'desc', within: createdAt } as const;
    const filter = { createdAt, includeArchived: query.include_archived };
    const slice = await agents.list(c.get('workspaceId'), filter, toSliceRequest(request));
    return c.json(toPage(slice, request, (agent) => [agent.created_at, agent.id]));
  });

  app.get('/v1/agents/:id', async (c) => {
    const row: RowId = { workspaceId: c.get('workspaceId'), id: c.req.param('id') };
    const { version } = readQuery(c, { version: intParam(1) });
    const agent = await agents.get(row, version);
    if (agent === undefined && version !== undefined && (await agents.get(row)) !== undefined) {
      throw notFound(`Version ${version} of agent \`${row.id}\` not found.`);
    }
    return c.json(found(row, agent));
  });

  app.get('/v1/agents/:id/versions', async (c) => {
    const row: RowId = { workspaceId: c.get('workspaceId'), id: c.req.param('id') };
    const request = {
      ...readQuery(c, versionsQuery),
      list: `versions of ${row.id}`,
      order: 'desc',
      key: ['number'],
    } as const;
    const slice = await agents.versions(row, toSliceRequest(request));
    if (slice === undefined) throw agentNotFound(row.id);
    return c.json(toPage(slice, request, (agent) => [agent.version]));
  });
}

/** 404 for an agent; sessions need it too. */
function agentNotFound(id: string): ApiError {
  return notFound(`Agent \`${id}\` not found.`);
}

function found(row: RowId, agent: Agent | undefined): Agent {
  if (agent === undefined) throw agentNotFound(row.id);
  return agent;
}
