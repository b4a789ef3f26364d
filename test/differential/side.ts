/** One of the two servers: a whole one as processes, with a model that the test holds in its own hands. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { startPostgres } from '../../scripts/postgres.ts';
import type { Entry } from '../../src/log.ts';
import {
  cleanUp,
  makeDataDir,
  startCrashServer,
  type CrashServer,
  type Killed,
} from '../support/crash-server.ts';
import { eventually } from '../support/process.ts';
import { openSessions, type SessionsPlace } from '../support/sessions.ts';
import { MODELS } from './generate.ts';
import { serveHeldModel, type HeldModel } from './model.ts';

/** Which engine a side has, and what else is set for it. */
export interface SideSettings {
  readonly engine: SessionsPlace['engine'];
  /** On a Postgres of its own, started for it; else on what the settings name. */
  readonly postgres?: true;
  readonly env: Readonly<Record<string, string>>;
}

/** What an endpoint answered. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** A server that can be driven, hurt and read. */
export interface Side {
  readonly model: HeldModel;
  /** One request; waits for an API that has been killed. */
  request(method: string, path: string, body?: unknown): Promise<Answer>;
  /** Opens a stream; throws where nobody answers. */
  stream(path: string, signal: AbortSignal): Promise<Response>;
  /** The whole log, past the API, hidden events included. */
  readLog(sessionId: string): Promise<readonly Entry[]>;
  /** The folders of a session's sandboxes, those included that have died. */
  handFolders(sessionId: string): Promise<string[]>;
  /** SIGKILL; waits first until one that was killed before is back. */
  kill(role: 'worker' | 'api'): Promise<void>;
  /** Waits until nothing that was killed is missing any more. */
  recovered(role: 'worker' | 'api'): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Its tokens cost nothing: whether it has begun to answer when an interrupt comes, nobody can see, so nothing may
 * follow from that.
 */
export const JUDGE_MODEL = 'judge';

/** From so many tokens in a prompt, older results are cleared. */
export const CLEAR_AT_TOKENS = 3000;

/** What both sides are started with: nothing of what a log holds may depend on how long something takes. */
const SETTINGS = {
  DROVER_SANDBOX: 'bubblewrap',
  DROVER_HAND_IDLE: '0',
  DROVER_MODEL_ATTEMPTS: '3',
  DROVER_MODEL_RETRY_BASE_MS: '20',
  DROVER_CLEAR_AT: String(CLEAR_AT_TOKENS),
  DROVER_KEEP_RESULTS: '2',
  DROVER_COMPACT_AT: '5000',
  DROVER_KEEP_ANSWERS: '1',
  DROVER_JUDGE_MODEL: JUDGE_MODEL,
  ANTHROPIC_API_KEY: 'not-needed',
};
/** So dear that a few turns spend a budget, and running costs nothing. */
const DEAR = { input: 10_000, output: 50_000 };
const PRICES = {
  models: {
    ...Object.fromEntries(MODELS.map((model) => [model, DEAR])),
    [JUDGE_MODEL]: { input: 0, output: 0 },
  },
  runtime_hour: 0,
};

/** Starts a server. */
export async function startSide({ engine, postgres, env }: SideSettings): Promise<Side> {
  // No machine dies here, only processes.
  const database = postgres ? await startPostgres({ fsync: 'off' }) : undefined;
  const databaseUrl = (await database?.createDatabase()) ?? env['DATABASE_URL'];
  const model = await serveHeldModel();
  const dataDir = await makeDataDir();
  const prices = `${dataDir}-prices.json`;
  await writeFile(prices, JSON.stringify(PRICES));
  const end = async (server?: CrashServer): Promise<void> => {
    await cleanUp(dataDir, server);
    await model.close();
    await database?.stop();
    await rm(prices, { force: true });
  };
  const settings = {
    ...SETTINGS,
    ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }),
    DROVER_ENGINE: engine,
    DROVER_PRICES: prices,
    ANTHROPIC_BASE_URL: model.url,
  };
  const server = await startCrashServer(dataDir, { ...settings, ...env }).catch(async (error: unknown) => {
    await end();
    throw error;
  });
  const temporalAddress = engine === 'temporal' ? server.temporalAddress : undefined;
  const place = { engine, dataDir, temporalAddress, databaseUrl };
  const opened = await openSessions(place).catch(async (error: unknown) => {
    await end(server);
    throw error;
  });
  const headers = { 'x-api-key': server.apiKey };
  const missing = new Map<string, Promise<void>>();

  return {
    model,
    handFolders: createHandFinder(join(dataDir, 'hands')),
    async request(method, path, body) {
      await missing.get('api');
      return await requestOnce({ method, url: `${server.url}${path}`, headers }, body);
    },
    async stream(path, signal) {
      await missing.get('api');
      return await fetch(`${server.url}${path}`, { headers, signal });
    },
    readLog: (sessionId) => opened.sessions.getEvents(sessionId),
    async kill(role) {
      await missing.get(role);
      const back = isBack(server, await server.kill(role));
      back.catch(() => undefined);
      missing.set(role, back);
    },
    async recovered(role) {
      await missing.get(role);
    },
    async stop() {
      await opened.close();
      await end(server);
    },
  };
}

async function isBack(server: CrashServer, killed: Killed): Promise<void> {
  await server.back(killed);
  if (killed.role !== 'api') return;
  await eventually('the API', async () => {
    const answer = await fetch(`${server.url}/healthz`).catch(() => undefined);
    return answer?.status === 200;
  });
}

/** On a connection of its own: one that was kept may be closed just when it is taken again. */
async function requestOnce(
  { method, url, headers }: { method: string; url: string; headers: Record<string, string> },
  body: unknown,
): Promise<Answer> {
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const type = sent === undefined ? {} : { 'content-type': 'application/json' };
  const request = httpRequest(url, { method, headers: { ...headers, ...type }, agent: false });
  const response = await new Promise<Parameters<typeof text>[0] & { statusCode?: number }>(
    (resolve, reject) => {
      request.once('response', resolve).once('error', reject).end(sent);
    },
  );
  return { status: response.statusCode ?? 0, body: JSON.parse(await text(response)) as unknown };
}

/** Finds sandboxes by session, and reads each folder's key only once: many look at the same time. */
function createHandFinder(root: string): Side['handFolders'] {
  const sessions = new Map<string, string>();
  const list = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
  return async (sessionId) => {
    const homes = (await list(root)).filter((name) => !name.startsWith('.'));
    for (const home of homes.filter((name) => !sessions.has(name))) {
      for (const generation of await list(join(root, home))) {
        const key = await readFile(join(root, home, generation, 'key'), 'utf8').catch(() => '');
        if (key.includes('-')) sessions.set(home, key.slice(0, key.indexOf('-')));
      }
    }
    const own = homes.filter((name) => sessions.get(name) === sessionId);
    const folders = own.map(async (home) =>
      (await list(join(root, home))).map((name) => join(root, home, name)),
    );
    return (await Promise.all(folders)).flat();
  };
}
