/** One of the two servers: a whole one as processes, with a model that the test holds in its own hands. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Entry } from '../../src/log.ts';
import { createHolds, type Holds } from '../../src/model/holds.ts';
import { createRequestLog, type ReceivedRequest, type RequestLog } from '../../src/model/request-log.ts';
import { serveModel } from '../../src/model/serve.ts';
import { cleanUp, makeDataDir, startCrashServer, type Killed } from '../support/crash-server.ts';
import { eventually } from '../support/process.ts';
import { withSessions, type SessionsPlace } from '../support/sessions.ts';

/** Which engine a side has, and what else is set for it. */
export interface SideSettings {
  readonly engine: SessionsPlace['engine'];
  readonly env: Readonly<Record<string, string>>;
}

/** What an endpoint answered. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** A server that can be driven, hurt and read. */
export interface Side {
  /** One request; waits for an API that has been killed. */
  request(method: string, path: string, body?: unknown): Promise<Answer>;
  /** Opens a stream; throws where nobody answers. */
  stream(path: string, signal: AbortSignal): Promise<Response>;
  readonly holds: Holds;
  /** What the model was asked in a conversation, oldest first. */
  modelRequests(mark: string): readonly ReceivedRequest[];
  /** The same, and forgets it. */
  takeRequests(mark: string): readonly ReceivedRequest[];
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

/** What both sides are started with: nothing of what a log holds may depend on how long something takes. */
const SETTINGS = {
  DROVER_SANDBOX: 'bubblewrap',
  DROVER_HAND_IDLE: '0',
  DROVER_MODEL_ATTEMPTS: '3',
  DROVER_MODEL_RETRY_BASE_MS: '20',
  DROVER_CLEAR_AT: '4500',
  DROVER_KEEP_RESULTS: '2',
  DROVER_COMPACT_AT: '9000',
  DROVER_KEEP_ANSWERS: '1',
  DROVER_JUDGE_MODEL: JUDGE_MODEL,
};
/** So dear that a few turns spend a budget, and running costs nothing. */
const PRICES = {
  models: { claude: { input: 10_000, output: 50_000 }, [JUDGE_MODEL]: { input: 0, output: 0 } },
  runtime_hour: 0,
};
/** Every request holds it: it stands in the agent's instructions. */
const MARK = /You are (c\d+-\d+)\./;

/** Starts a server. */
export async function startSide({ engine, env }: SideSettings): Promise<Side> {
  const holds = createHolds();
  const asked = new Map<string, ReceivedRequest[]>();
  const model = await serveModel({ holds, requests: requestsByMark(asked) });
  const dataDir = await makeDataDir();
  const prices = `${dataDir}-prices.json`;
  await writeFile(prices, JSON.stringify(PRICES));
  const end = async (server?: Awaited<ReturnType<typeof startCrashServer>>): Promise<void> => {
    await cleanUp(dataDir, server);
    await model.close();
    await rm(prices, { force: true });
  };
  const server = await startCrashServer(dataDir, {
    ...SETTINGS,
    DROVER_ENGINE: engine,
    DROVER_PRICES: prices,
    ANTHROPIC_BASE_URL: model.url,
    ANTHROPIC_API_KEY: 'not-needed',
    ...env,
  }).catch(async (error: unknown) => {
    await end();
    throw error;
  });
  const { temporal } = server.ports;
  const place = { engine, dataDir, temporalAddress: engine === 'log' ? undefined : `127.0.0.1:${temporal}` };
  const headers = { 'x-api-key': server.apiKey };
  const missing = new Map<string, Promise<void>>();
  const handFolders = createHandFinder(join(dataDir, 'hands'));

  const isBack = async (killed: Killed): Promise<void> => {
    await server.back(killed);
    if (killed.role === 'api')
      await eventually('the API', async () => {
        const answer = await fetch(`${server.url}/healthz`).catch(() => undefined);
        return answer?.status === 200;
      });
  };

  return {
    holds,
    handFolders,
    async request(method, path, body) {
      await missing.get('api');
      const answer = await fetch(`${server.url}${path}`, {
        method,
        headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: answer.status, body: await answer.json() };
    },
    async stream(path, signal) {
      await missing.get('api');
      return await fetch(`${server.url}${path}`, { headers, signal });
    },
    modelRequests: (mark) => asked.get(mark) ?? [],
    takeRequests(mark) {
      const requests = asked.get(mark) ?? [];
      asked.delete(mark);
      return requests;
    },
    readLog: (sessionId) => withSessions(place, (sessions) => sessions.getEvents(sessionId)),
    async kill(role) {
      await missing.get(role);
      const killed = await server.kill(role);
      const back = isBack(killed);
      back.catch(() => undefined);
      missing.set(role, back);
    },
    async recovered(role) {
      await missing.get(role);
    },
    stop: () => end(server),
  };
}

/** Keeps requests by the conversation that they belong to: there are many, and each is looked for often. */
function requestsByMark(asked: Map<string, ReceivedRequest[]>): RequestLog {
  const last = createRequestLog(1);
  return {
    ...last,
    add(request) {
      const received = last.add(request);
      const mark = MARK.exec(request.text)?.[1];
      if (mark !== undefined) asked.set(mark, [...(asked.get(mark) ?? []), received]);
      return received;
    },
  };
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
