/** Environments (wire-api section 8): six routes between the records and the pure rules of `wire/environment.ts`. */
import { newId } from '../../id.ts';
import { NameTakenError, type EnvironmentRecords, type RowId } from '../../records.ts';
import {
  archiveEnvironment,
  createEnvironment,
  environmentCreateParams,
  environmentUpdateParams,
  updateEnvironment,
  type Environment,
} from '../../wire/environment.ts';
import { conflict, invalidRequest, notFound, type ApiError } from '../../wire/error.ts';
import type { App } from '../app.ts';
import { readBody } from '../body.ts';
import type { Clock } from '../clock.ts';
import { toPage, toSliceRequest } from '../paging.ts';
import { boolParam, limitParam, readQuery, textParam } from '../query.ts';

/** What the routes are made of. */
export interface EnvironmentRouteDeps {
  readonly environments: EnvironmentRecords;
  readonly now: Clock;
}

const listQuery = { include_archived: boolParam(), limit: limitParam(100, 20), page: textParam() };

/** Adds the routes. */
export function mountEnvironments(app: App, deps: EnvironmentRouteDeps): void {
  mountWrites(app, deps);
  mountReads(app, deps);
}

function mountWrites(app: App, { environments, now }: EnvironmentRouteDeps): void {
  app.post('/v1/environments', async (c) => {
    const params = await readBody(c, environmentCreateParams);
    const environment = createEnvironment(params, { id: newId('env'), now: now() });
    await environments.insert(c.get('workspaceId'), environment).catch(nameTaken);
    return c.json(environment);
  });

  app.post('/v1/environments/:id', async (c) => {
    const row: RowId = { workspaceId: c.get('workspaceId'), id: c.req.param('id') };
    const params = await readBody(c, environmentUpdateParams);
    const change = (current: Environment) => updateEnvironment(current, params, now());
    return c.json(found(row, await environments.update(row, change).catch(nameTaken)));
  });

  app.post('/v1/environments/:id/archive', async (c) => {
    const row: RowId = { workspaceId: c.get('workspaceId'), id: c.req.param('id') };
    return c.json(
      found(row, await environments.update(row, (current) => archiveEnvironment(current, now()))),
    );
  });

  app.delete('/v1/environments/:id', async (c) => {
    const row: RowId = { workspaceId: c.get('workspaceId'), id: c.req.param('id') };
    const outcome = await environments.delete(row);
    if (outcome === 'missing') throw environmentNotFound(row.id);
    if (outcome === 'in_use') {
      throw invalidRequest(
        `Environment \`${row.id}\` cannot be deleted while sessions use it. Delete them, or archive it.`,
      );
    }
    return c.json({ id: row.id, type: 'environment_deleted' as const });
  });
}

function mountReads(app: App, { environments }: EnvironmentRouteDeps): void {
  app.get('/v1/environments', async (c) => {
    const query = readQuery(c, listQuery);
    const request = { ...query, list: 'environments', order: 'desc' } as const;
    const filter = { includeArchived: query.include_archived };
    const slice = await environments.list(c.get('workspaceId'), filter, toSliceRequest(request));
    return c.json(toPage(slice, request, (environment) => [environment.created_at, environment.id]));
  });

  app.get('/v1/environments/:id', async (c) => {
    const row: RowId = { workspaceId: c.get('workspaceId'), id: c.req.param('id') };
    return c.json(found(row, await environments.get(row)));
  });
}

/** 404 for an environment; sessions need it too. */
export function environmentNotFound(id: string): ApiError {
  return notFound(`Environment \`${id}\` not found.`);
}

function found(row: RowId, environment: Environment | undefined): Environment {
  if (environment === undefined) throw environmentNotFound(row.id);
  return environment;
}

function nameTaken(error: unknown): never {
  throw error instanceof NameTakenError ? conflict(error.message) : error;
}
