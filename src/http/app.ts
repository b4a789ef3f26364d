/** The HTTP application: what every route shares (request id, auth, errors), and the control plane's own routes. */
import { Hono, type Context } from 'hono';
import { newId } from '../id.ts';
import type { Records } from '../records.ts';
import { notFound } from '../wire/error.ts';
import type { ModelInfo } from '../wire/model.ts';
import { createAuth } from './auth.ts';
import { createClock, type Clock } from './clock.ts';
import { toProblem, type Logger } from './problem.ts';
import { mountAgents } from './routes/agents.ts';
import { mountEnvironments } from './routes/environments.ts';
import { mountHealth, type HealthCheck } from './routes/health.ts';
import { mountModels } from './routes/models.ts';

/** What every handler finds in its context. `workspaceId` is set on everything under `/v1`. */
export interface AppEnv {
  Variables: { workspaceId: string; requestId: string };
}

/** The application as routes see it. */
export type App = Hono<AppEnv>;

/** What the application is made of. */
export interface AppDeps {
  readonly records: Records;
  /** The models that can be used, newest first. */
  readonly models: () => Promise<readonly ModelInfo[]>;
  /** What `GET /healthz` answers; left out: always healthy. */
  readonly health?: HealthCheck;
  readonly now?: Clock;
  readonly logger?: Logger;
  /** Adds more routes behind the same auth and error handling. */
  readonly mount?: (app: App) => void;
}

const silent: Logger = { error: () => undefined };

/** Makes the application. It holds no state: everything is in `deps`. */
export function createApp(deps: AppDeps): App {
  const { records, models, mount, logger = silent, now = createClock() } = deps;
  const app: App = new Hono<AppEnv>();
  const answer = (thrown: unknown, c: Context<AppEnv>) =>
    toProblem(thrown, { requestId: c.get('requestId'), logger, request: nameOf(c) });
  app.use(async (c, next) => {
    c.set('requestId', newId('req'));
    // Hono hands thrown Errors to onError; anything else that is thrown arrives here.
    await next().catch((thrown: unknown) => {
      c.res = answer(thrown, c);
    });
    c.header('request-id', c.get('requestId'));
  });
  app.onError(answer);
  // A known path with another method is answered likewise: the wire has no 405.
  app.notFound((c) => answer(notFound(`Not found: ${nameOf(c)}`), c));
  mountHealth(app, deps.health);
  app.use('/v1/*', createAuth(records.apiKeys));
  // Nothing is named so, and not every database can be asked for it.
  app.use('/v1/*', async (c, next) => {
    if (c.req.path.includes('%00') || c.req.path.includes('\0')) throw notFound(`Not found: ${nameOf(c)}`);
    await next();
  });
  mountAgents(app, { agents: records.agents, now });
  mountEnvironments(app, { environments: records.environments, now });
  mountModels(app, models);
  mount?.(app);
  return app;
}

function nameOf(c: Context): string {
  return `${c.req.method} ${c.req.path}`;
}
