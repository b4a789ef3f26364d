/** One real server for a whole test run, started as `npm start` starts it and held to the same contract. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, run, type Running } from './process.ts';

/** Where a server is and how to get in. Plain JSON: it travels from the global set-up to the test processes. */
export interface ServerInfo {
  readonly url: string;
  readonly apiKey: string;
  readonly dataDir: string;
  /** What keeps its sessions. */
  readonly engine: 'temporal' | 'log';
  /** Of the Temporal server that it uses, embedded or not. */
  readonly temporalAddress: string | undefined;
  /** Of its Postgres; without one it keeps its records in SQLite. */
  readonly databaseUrl: string | undefined;
}

/** A server that the caller must stop. */
export interface TestServer extends ServerInfo {
  readonly running: Running;
  stop(): Promise<void>;
}

declare module 'vitest' {
  // oxlint-disable-next-line typescript/consistent-type-definitions -- vitest is extended by merging
  export interface ProvidedContext {
    drover: ServerInfo;
  }
}

const ENTRY = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
const READY_WITHIN_MS = 120_000;
const STOPPED_WITHIN_MS = 30_000;
const TAIL_LINES = 30;

/** The engine that the tests of this project run with: vitest.config.ts sets it. */
export function engineOfRun(): ServerInfo['engine'] {
  return process.env['DROVER_ENGINE'] === 'log' ? 'log' : 'temporal';
}

/** Starts a server on a data folder of its own and resolves once it has said that it is ready. */
export async function startTestServer(env: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  const dataDir = await mkdtemp(join(tmpdir(), 'drover-server-'));
  const apiKey = 'sk-ant-api03-conformance';
  const running = run([ENTRY, 'start'], {
    PORT: '0',
    DROVER_DATA_DIR: dataDir,
    DROVER_API_KEY: apiKey,
    DROVER_ENGINE: engineOfRun(),
    DROVER_SANDBOX: 'bubblewrap',
    DROVER_MODEL_ATTEMPTS: '4',
    DROVER_MODEL_RETRY_BASE_MS: '20',
    ...env,
  });
  const stop = async (): Promise<void> => {
    running.child.kill('SIGTERM');
    const giveUp = setTimeout(() => running.child.kill('SIGKILL'), STOPPED_WITHIN_MS);
    await running.ended;
    clearTimeout(giveUp);
    await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  };
  try {
    const early = running.ended.then((how) => {
      throw new Error(`the server ended with ${how} before it was ready`);
    });
    const ready = eventually(
      'the ready line',
      () => /^drover ready: (\S+)\n/m.exec(running.stdout())?.[1],
      READY_WITHIN_MS,
    );
    const url = await Promise.race([ready, early]);
    return { url, apiKey, dataDir, ...(await partsOf(dataDir, env)), running, stop };
  } catch (error) {
    const logs = await logTails(dataDir);
    await stop();
    throw new Error(`${String(error)}\n${running.stderr()}\n${logs}`, { cause: error });
  }
}

async function partsOf(
  dataDir: string,
  env: Readonly<Record<string, string>>,
): Promise<Pick<ServerInfo, 'engine' | 'temporalAddress' | 'databaseUrl'>> {
  const engine = (env['DROVER_ENGINE'] ?? engineOfRun()) === 'log' ? 'log' : 'temporal';
  const embedded = async () => `127.0.0.1:${await readPort(dataDir, 'temporal')}`;
  return {
    engine,
    temporalAddress: engine === 'log' ? undefined : (env['TEMPORAL_ADDRESS'] ?? (await embedded())),
    databaseUrl: env['DATABASE_URL'],
  };
}

/** The end of each role's log, for a person who wonders why a server misbehaves. */
export async function logTails(dataDir: string): Promise<string> {
  const folder = join(dataDir, 'logs');
  const names = await readdir(folder).catch(() => []);
  const tails = await Promise.all(
    names.map(async (name) => {
      const text = await readFile(join(folder, name), 'utf8').catch(() => '');
      return `--- ${name}\n${text.trimEnd().split('\n').slice(-TAIL_LINES).join('\n')}`;
    }),
  );
  return tails.join('\n');
}

/** The port of a server's part, from `run/ports.json`. */
export async function portOf({ dataDir }: ServerInfo, part: 'model' | 'proxy'): Promise<number> {
  return await readPort(dataDir, part);
}

async function readPort(dataDir: string, part: string): Promise<number> {
  const ports = JSON.parse(await readFile(join(dataDir, 'run', 'ports.json'), 'utf8')) as Record<
    string,
    number
  >;
  const port = ports[part];
  if (port === undefined) throw new Error(`no port is known for ${part}`);
  return port;
}
