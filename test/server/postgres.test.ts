/** A server on Postgres: two APIs and two workers that share nothing but that database and, with its engine, Temporal. */
import Anthropic from '@anthropic-ai/sdk';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  bash,
  isIdle,
  listAll,
  makeSession,
  say,
  script,
  toolResults,
  watch,
  type Frame,
} from '../support/crash-client.ts';
import { findInFolder, findInProcess, toCanary } from '../support/crash-canary.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../support/crash-server.ts';
import { createPostgresDatabase, hasPostgres, query } from '../support/database.ts';
import { checkLog } from '../support/invariants.ts';
import { eventually, run, type Running } from '../support/process.ts';
import { engineOfRun } from '../support/server.ts';
import { withSessions } from '../support/sessions.ts';

const ENGINE = engineOfRun();
const API_KEY = 'sk-drover-postgres';
const PASSWORD = 'canary-of-the-database-7f3a9c';
const LONG = 'The quick brown fox jumps over the lazy dog, and again, until the model is done.';
const SLOW = { say: LONG, chunkChars: 8, chunkDelayMs: 40 };

interface Api {
  readonly api: Anthropic;
  readonly running: Running;
  readonly dataDir: string;
}

let dataDir: string;
let url: string;
let remove: () => Promise<void>;
let server: CrashServer;
let second: Api;

/** Starts an API by hand, as on another machine: it is told what the first is told, and has a data dir of its own. */
async function startApi({ ports, temporalAddress }: CrashServer): Promise<Api> {
  const own = join(dataDir, 'second');
  const file = join(own, 'url');
  await mkdir(own, { recursive: true });
  await writeFile(file, url, { mode: 0o600 });
  const running = run(['--disable-warning=ExperimentalWarning', 'src/cli.ts', 'api'], {
    PORT: '0',
    DROVER_DATA_DIR: own,
    DROVER_API_KEY: API_KEY,
    DATABASE_URL_FILE: file,
    DROVER_ENGINE: ENGINE,
    ...(temporalAddress !== undefined && { TEMPORAL_ADDRESS: temporalAddress }),
    DROVER_PROXY_URL: `http://127.0.0.1:${ports.proxy}`,
    DROVER_PROXY_SECRET_FILE: join(dataDir, 'run', 'secrets', 'proxy-token'),
  });
  const port = await eventually('the second API', () => /ready \{"port":(\d+)\}/.exec(running.stderr())?.[1]);
  const api = new Anthropic({ baseURL: `http://127.0.0.1:${port}`, apiKey: API_KEY, maxRetries: 0 });
  return { api, running, dataDir: own };
}

async function start(): Promise<void> {
  server = await startCrashServer(dataDir, {
    DROVER_ENGINE: ENGINE,
    DATABASE_URL: url,
    DROVER_API_KEY: API_KEY,
    DROVER_WORKERS: '2',
  });
  second = await startApi(server);
}

async function stop(): Promise<void> {
  second.running.child.kill('SIGTERM');
  expect(await second.running.ended).toBe(0);
  await server.stop();
}

/** What the previews among frames say. */
const previewed = (frames: readonly Frame[]): string =>
  frames
    .map((frame) =>
      frame.type === 'event_delta' && frame.delta.content.type === 'text' ? frame.delta.content.text : '',
    )
    .join('');

const messagesIn = (frames: readonly Frame[]): string =>
  frames
    .flatMap((frame) => (frame.type === 'agent.message' ? frame.content : []))
    .map((block) => (block.type === 'text' ? block.text : ''))
    .join('');

/** A turn that is asked for at one API and watched at several. */
async function turnAt(
  asked: Pick<Api, 'api'>,
  watched: readonly Pick<Api, 'api'>[],
  id: string,
  text: string,
) {
  const streams = await Promise.all(watched.map((one) => watch(one, id)));
  await say(asked, id, text);
  const turns: Frame[][] = [];
  for (const stream of streams) {
    await stream.until('the end of the turn', isIdle);
    turns.push(stream.seen.map(({ frame }) => frame));
    stream.close();
  }
  return turns;
}

describe.runIf(hasPostgres)('two APIs and two workers on Postgres', () => {
  beforeAll(async () => {
    dataDir = await makeDataDir();
    const database = await createPostgresDatabase();
    remove = database.remove;
    url = database.url.replace('drover@', `drover:${PASSWORD}@`);
    await start();
  }, 120_000);

  afterAll(async () => {
    second.running.child.kill('SIGKILL');
    await cleanUp(dataDir, server);
    await remove();
  }, 60_000);

  it('a session made at one is streamed with previews at the other, and at both', async () => {
    const made = await Promise.all([server, second, server, second].map((api) => makeSession(api)));
    const turns = await Promise.all(
      made.map((id, at) => turnAt(at % 2 === 0 ? second : server, [server, second], id, script(SLOW))),
    );
    for (const [first = [], other = []] of turns) {
      expect(messagesIn(first)).toBe(LONG);
      expect([previewed(first), previewed(other)]).toEqual([LONG, LONG]);
    }
  });

  it('heavy content that one took is there for the other and for the workers', async () => {
    const id = await makeSession(server);
    const heavy = `${script(bash('head -c 50000 /dev/zero | tr "\\0" x'), { say: 'Done.' })}\n${'ä'.repeat(60_000)}`;
    const [turn = []] = await turnAt(server, [second], id, heavy);
    expect(toolResults(turn).map(({ text }) => text)).toEqual(['x'.repeat(50_000)]);
    expect(await listAll(server.api, id)).toEqual(await listAll(second.api, id));
    const [{ count } = { count: 0 }] = await query<{ count: number }>(
      url,
      `select count(*)::int as count from blobs where session_id = '${id}'`,
    );
    expect(count).toBeGreaterThanOrEqual(2);
    expect(['drover.db', 'blobs', 'run/bus.sock'].filter((path) => existsSync(join(dataDir, path)))).toEqual(
      [],
    );

    await second.api.beta.sessions.delete(id);
    await expect(server.api.beta.sessions.retrieve(id)).rejects.toMatchObject({ status: 404 });
    expect(await query(url, `select 1 from blobs where session_id = '${id}'`)).toEqual([]);
  });

  it('what two change at once is changed by both, and a name is given once', async () => {
    const { id } = await server.api.beta.agents.create({ name: 'shared', model: 'claude-sonnet-5' });
    const update = async (api: Anthropic, key: string): Promise<void> => {
      const { version } = await api.beta.agents.retrieve(id);
      await api.beta.agents.update(id, { version, metadata: { [key]: 'set' } }).catch(() => update(api, key));
    };
    await Promise.all(
      Array.from({ length: 8 }, (_, at) => update((at % 2 === 0 ? server : second).api, `key${at}`)),
    );
    expect(Object.keys((await second.api.beta.agents.retrieve(id)).metadata)).toHaveLength(8);
    const named = await Promise.allSettled(
      [server, second, server, second].map(({ api }) => api.beta.environments.create({ name: 'one-name' })),
    );
    expect(named.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const one of named) if (one.status === 'rejected') expect(one.reason).toMatchObject({ status: 409 });
  });

  it.runIf(process.platform === 'linux')('the password is in one file, and in no process', async () => {
    const canaries = [toCanary('password', PASSWORD)];
    const files = [join(dataDir, 'run', 'secrets', 'database-url'), join(second.dataDir, 'url')];
    expect(await findInFolder(dataDir, canaries)).toEqual(
      expect.arrayContaining(files.map((file) => `${file}: password`)),
    );
    expect(await findInFolder(dataDir, canaries, files)).toEqual([]);
    for (const role of ['api', 'worker', 'worker-2', 'proxy', 'model'] as const)
      expect([role, await findInProcess(await server.pid(role), canaries)]).toEqual([role, []]);
    expect(server.supervisor.stderr() + second.running.stderr()).not.toContain(PASSWORD);
  });

  it('after a stop and a start all is there, and goes on', { timeout: 120_000 }, async () => {
    const id = await makeSession(second);
    await turnAt(server, [second], id, script({ say: 'Before the stop.' }));
    const before = await listAll(server.api, id);
    await stop();
    expect(existsSync(join(dataDir, 'run', 'secrets', 'database-url'))).toBe(false);

    await start();
    expect(await listAll(second.api, id)).toEqual(before);
    const [first = [], other = []] = await turnAt(second, [server, second], id, script(SLOW));
    expect([previewed(first), previewed(other)]).toEqual([LONG, LONG]);
    const { temporalAddress } = server;
    const place = { engine: ENGINE, dataDir, temporalAddress, databaseUrl: url };
    checkLog(await withSessions(place, (sessions) => sessions.getEvents(id)), true);
  });
});
