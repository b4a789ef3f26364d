/** Composition root of the API process: HTTP on one side; engine, records and blobs on the other. */
import Anthropic from '@anthropic-ai/sdk';
import { openBlobs } from './blobs/open.ts';
import { takesSystemMessages } from './brain/models.ts';
import { toPrompt } from './brain/request.ts';
import { openApiBus } from './bus.ts';
import type { RoleConfig } from './config.ts';
import { openEngine } from './engine.ts';
import { createApp } from './http/app.ts';
import { hashApiKey } from './http/auth.ts';
import { createClock } from './http/clock.ts';
import { mountCopies } from './http/routes/copies.ts';
import { mountExtensions } from './http/routes/extensions.ts';
import { mountSessions } from './http/routes/sessions.ts';
import { openKillPoint, withKillPoints } from './kill-point.ts';
import { listen } from './listen.ts';
import { createLogger } from './log-line.ts';
import { createTokens } from './proxy/token.ts';
import { DEFAULT_WORKSPACE_ID } from './records.ts';
import { openRecords } from './records/open.ts';
import { copySnapshot } from './session/snapshot-store.ts';
import type { Role } from './supervisor/role.ts';
import { startSweeper } from './sweeper.ts';
import type { ModelInfo } from './wire/model.ts';

/** Whose name the API's own questions to the proxy carry. */
const API_SUBJECT = 'api';
/** Streams never end by themselves; their clients open them again somewhere else. */
const DRAIN_MS = 500;

/** Starts the API. It is ready to serve when this resolves. */
export async function runApi(config: RoleConfig): Promise<Role> {
  const log = createLogger('api');
  const killPoint = openKillPoint(config.killPoints);
  const opened = await openRecords(config.database);
  const rows = withKillPoints(killPoint, opened.sessions, { insert: 'record', setState: 'record' });
  const records = { ...opened, sessions: rows };
  if (config.apiKey !== undefined) await records.apiKeys.add(hashApiKey(config.apiKey), DEFAULT_WORKSPACE_ID);
  const bus = await openApiBus(config.bus);
  const { previews } = bus;
  const blobs = withKillPoints(killPoint, await openBlobs(config), { put: 'blob' });
  const engine = await openEngine({ config, blobs, notices: bus.notices, log, killPoint });
  const { sessions, moves } = engine;
  const sweeper = startSweeper({ records, sessions, moves, log });
  const now = createClock();
  const settings = {
    modelAttempts: config.modelRetry.attempts,
    modelRetryBaseMs: config.modelRetry.baseMs,
    provision: config.provision,
    steering: config.steering,
    context: config.context,
    judgeModel: config.judgeModel ?? null,
    priceTable: config.prices,
  };
  const app = createApp({
    records,
    now,
    models: modelLister(config),
    logger: {
      error: (message, { error, ...fields }) =>
        log.error(message, { ...(fields as Record<string, string>), error: describe(error) }),
    },
    health: async () => {
      await engine.check();
      return { ok: true };
    },
    mount: (app) => {
      mountSessions(app, { records, sessions, previews, now, settings, takesSystemMessages });
      mountCopies(app, {
        records,
        sessions,
        now,
        copySnapshot: (snapshot, ends) => copySnapshot(blobs, snapshot, ends),
      });
      mountExtensions(app, {
        records,
        sessions,
        moves,
        verify: (id) => engine.verify(id),
        previews,
        now,
        contextOf: (entries) => toPrompt(entries)?.request,
      });
    },
  });
  const listening = await listen(app.fetch, config);
  const { port } = listening;
  log.info('listening', { port });

  return {
    info: { port },
    async close() {
      sweeper.stop();
      await listening.close(DRAIN_MS);
      await bus.close();
      await engine.close();
      await blobs.close();
      await records.close();
    },
  };
}

/** Asks the upstream, through the proxy, which models there are. */
function modelLister(config: RoleConfig): () => Promise<readonly ModelInfo[]> {
  const tokens = createTokens(config.proxy.tokenSecret);
  const client = new Anthropic({ baseURL: config.proxy.url, apiKey: 'by-proxy', maxRetries: 1 });
  return async () => {
    const authorization = `Bearer ${await tokens.mint({ sessionId: API_SUBJECT })}`;
    const models: ModelInfo[] = [];
    for await (const model of client.models.list({ limit: 1000 }, { headers: { authorization } }))
      models.push(model);
    return models;
  };
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
