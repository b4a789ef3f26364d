/**
 * A Temporal server on Postgres, as docker-compose.yml has it but without containers, for tests and comparisons: the
 * real server program, the same schema steps, the same dynamic configuration, everything on loopback.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readToolPlaces, type ToolPlaces } from '../src/config.ts';
import { roleEnvironment } from '../src/supervisor/environment.ts';
import { createGoInstall } from '../src/temporal-server/go-install.ts';
import { installProgram, usableProgram } from '../src/temporal-server/install.ts';
import { choosePorts } from '../src/supervisor/ports.ts';
import { runTool } from '../src/temporal-server/run-tool.ts';
import { DYNAMIC_CONFIG, untilServing, type DynamicConfig } from '../src/temporal-server/server.ts';
import { findPostgres, startPostgres, type PostgresServer } from './postgres.ts';

/** The programs of a Temporal server. */
export interface TemporalPrograms {
  readonly server: string;
  /** Makes the tables; in Temporal's images its name is `temporal-sql-tool`. */
  readonly sql: string;
}

/** How to look for the programs; all but `log` is for tests. */
export interface ProgramOptions {
  /** Gets a line now and then while it takes minutes. */
  readonly log: (line: string) => void;
  readonly places?: ToolPlaces;
}

/** What may be chosen about a server. */
export interface TemporalOnPostgresOptions {
  readonly log?: (line: string) => void;
  /** Further dynamic configuration. */
  readonly dynamicConfig?: DynamicConfig;
}

/** A server with all four services in one process. */
export interface TemporalOnPostgres {
  readonly address: string;
  readonly pid: number;
  /** What it logs: errors only. */
  readonly logFile: string;
  /** SIGKILL. What was acknowledged is in Postgres; `restart` goes on with it. */
  kill(): Promise<void>;
  /** Starts the server again, after `kill` or instead of one that runs, at the same address. */
  restart(): Promise<void>;
  /** Ends it. Its databases stay in Postgres. */
  stop(): Promise<void>;
}

/** By default that of the embedded server, so that what is compared is the database below it. */
export const TEMPORAL_VERSION = process.env['TEMPORAL_VERSION'] ?? '1.29.1';
const MODULE = 'go.temporal.io/server/cmd';
const LOOPBACK = '127.0.0.1';
const SHARDS = 4;
const SCHEMA_SCRIPT = fileURLToPath(new URL('../docker/temporal/schema.sh', import.meta.url));
const SCHEMA_WITHIN_MS = 60_000;
const READY_WITHIN_MS = 60_000;
const GRACE_MS = 5000;
const LAST_WORDS = 2000;

const PROGRAMS = {
  server: {
    version: `temporal version ${TEMPORAL_VERSION}`,
    ways: [
      createGoInstall({ module: `${MODULE}/server@v${TEMPORAL_VERSION}`, title: 'the Temporal server' }),
    ],
  },
  sql: {
    version: `temporal-sql-tool version ${TEMPORAL_VERSION}`,
    ways: [
      createGoInstall({ module: `${MODULE}/tools/sql@v${TEMPORAL_VERSION}`, title: "Temporal's SQL tool" }),
    ],
  },
};

/**
 * Gives the programs: from the cache folder, or built with Go now and put there, which takes minutes. Any number of
 * processes may ask at once.
 *
 * @throws with the reason, where they cannot be had
 */
export async function ensureTemporalServer(options: ProgramOptions): Promise<TemporalPrograms> {
  const { log, places = readToolPlaces() } = options;
  const folder = join(places.cacheDir, `temporal-server-${TEMPORAL_VERSION}`);
  const signal = new AbortController().signal;
  const get = async (name: keyof TemporalPrograms): Promise<string> => {
    const wanted = { ...PROGRAMS[name], path: join(folder, name) };
    const tried: string[] = [];
    const found =
      (await usableProgram(wanted.path, wanted.version, tried)) ??
      (await installProgram(wanted, { places, signal, log }, tried));
    if (found === undefined) throw new Error(`no Temporal server ${TEMPORAL_VERSION}: ${tried.join('; ')}`);
    return found;
  };
  return { server: await get('server'), sql: await get('sql') };
}

/**
 * Sees to it that all programs are there.
 *
 * @returns why a Temporal server on Postgres cannot be had here; undefined where it can
 */
export async function whyNoTemporalOnPostgres(options: ProgramOptions): Promise<string | undefined> {
  if ((await findPostgres()) === undefined) return 'no Postgres server is installed';
  try {
    await ensureTemporalServer(options);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Makes two databases with Temporal's tables and starts a server on them. Resolves when it serves. */
export async function startTemporalOnPostgres(
  postgres: PostgresServer,
  options: TemporalOnPostgresOptions = {},
): Promise<TemporalOnPostgres> {
  const { log = () => undefined, dynamicConfig = {} } = options;
  const programs = await ensureTemporalServer({ log });
  const folder = await mkdtemp(join(tmpdir(), 'drover-temporal-on-postgres-'));
  try {
    const databases = await makeDatabases(postgres);
    await makeTables(programs.sql, folder, databases);
    const ports = await choosePorts(join(folder, 'ports.json'), PORTS);
    const dynamicConfigFile = join(folder, 'dynamicconfig.yaml');
    await writeYaml(dynamicConfigFile, toDynamicConfigFile({ ...DYNAMIC_CONFIG, ...dynamicConfig }));
    await mkdir(join(folder, 'config'));
    const config = serverConfig({ databases, ports, dynamicConfigFile });
    await writeYaml(join(folder, 'config', 'development.yaml'), config);
    return await run(programs.server, folder, `${LOOPBACK}:${ports.frontend}`);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Where they are: both on one server, which asks nobody for a password. */
interface Databases {
  readonly host: string;
  readonly port: string;
  readonly user: string;
  readonly temporal: string;
  readonly visibility: string;
}

async function makeDatabases(postgres: PostgresServer): Promise<Databases> {
  const mark = crypto.randomUUID().slice(0, 8);
  const [temporal, visibility] = [`temporal_${mark}`, `temporal_visibility_${mark}`];
  await postgres.createDatabase(temporal);
  const { hostname, port, username } = new URL(await postgres.createDatabase(visibility));
  return { host: hostname, port, user: username, temporal, visibility };
}

/** By the script that the containers run, with the tool under the name that it has there. */
async function makeTables(sql: string, folder: string, databases: Databases): Promise<void> {
  const bin = join(folder, 'bin');
  await mkdir(bin);
  await symlink(sql, join(bin, 'temporal-sql-tool'));
  await runTool('sh', [SCHEMA_SCRIPT], {
    env: {
      PATH: [bin, process.env['PATH']].join(delimiter),
      POSTGRES_SEEDS: databases.host,
      DB_PORT: databases.port,
      POSTGRES_USER: databases.user,
      SQL_PASSWORD: 'none',
      DBNAME: databases.temporal,
      VISIBILITY_DBNAME: databases.visibility,
    },
    signal: AbortSignal.timeout(SCHEMA_WITHIN_MS),
  });
}

const SERVICES = ['frontend', 'history', 'matching', 'worker'] as const;
type Service = (typeof SERVICES)[number];
type PortName = Service | `${Service}Membership`;
const PORTS: readonly PortName[] = [
  ...SERVICES,
  ...SERVICES.map((service) => `${service}Membership` as const),
];

interface ServerPlaces {
  readonly databases: Databases;
  readonly ports: Readonly<Record<PortName, number>>;
  readonly dynamicConfigFile: string;
}

/** As the containers' template makes it, but for the number of shards and what is on loopback. */
function serverConfig({ databases, ports, dynamicConfigFile }: ServerPlaces): object {
  const store = (databaseName: string, maxConns: number) => ({
    sql: {
      pluginName: 'postgres12',
      databaseName,
      connectAddr: `${databases.host}:${databases.port}`,
      connectProtocol: 'tcp',
      user: databases.user,
      maxConns,
      maxIdleConns: maxConns,
      maxConnLifetime: '1h',
    },
  });
  const services = SERVICES.map((name) => [
    name,
    {
      rpc: { grpcPort: ports[name], membershipPort: ports[`${name}Membership`], bindOnIP: LOOPBACK },
    },
  ]);
  return {
    log: { stdout: true, level: 'error' },
    persistence: {
      numHistoryShards: SHARDS,
      defaultStore: 'default',
      visibilityStore: 'visibility',
      datastores: { default: store(databases.temporal, 20), visibility: store(databases.visibility, 10) },
    },
    global: { membership: { maxJoinDuration: '30s', broadcastAddress: LOOPBACK } },
    services: Object.fromEntries(services) as object,
    clusterMetadata: {
      enableGlobalNamespace: false,
      failoverVersionIncrement: 10,
      masterClusterName: 'active',
      currentClusterName: 'active',
      clusterInformation: {
        active: {
          enabled: true,
          initialFailoverVersion: 1,
          rpcName: 'frontend',
          rpcAddress: `${LOOPBACK}:${ports.frontend}`,
        },
      },
    },
    dcRedirectionPolicy: { policy: 'noop' },
    dynamicConfigClient: { filepath: dynamicConfigFile, pollInterval: '60s' },
  };
}

function toDynamicConfigFile(config: DynamicConfig): object {
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, [{ value }]]));
}

/** JSON is YAML. */
async function writeYaml(file: string, content: object): Promise<void> {
  await writeFile(file, `${JSON.stringify(content, undefined, 2)}\n`);
}

async function run(program: string, folder: string, address: string): Promise<TemporalOnPostgres> {
  const logFile = join(folder, 'temporal.log');
  let child: ChildProcess;
  const start = async (): Promise<void> => {
    const output = await open(logFile, 'a');
    const started = spawn(program, ['--root', folder, '--env', 'development', '--allow-no-auth', 'start'], {
      cwd: folder,
      env: roleEnvironment('temporal', process.env),
      stdio: ['ignore', output.fd, output.fd],
    });
    child = started;
    const giveUp = new AbortController();
    const ended = once(started, 'exit').then(async ([code, signal]) => {
      const words = (await readFile(logFile, 'utf8')).slice(-LAST_WORDS);
      throw new Error(`the Temporal server ended with ${signal ?? code}: ${words}`);
    });
    try {
      const inTime = AbortSignal.any([giveUp.signal, AbortSignal.timeout(READY_WITHIN_MS)]);
      await Promise.race([untilServing(address, inTime), ended]);
    } finally {
      giveUp.abort();
      ended.catch(() => undefined);
      await output.close();
    }
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    const over = new AbortController();
    const patience = sleep(GRACE_MS, undefined, { signal: over.signal }).then(
      () => child.kill('SIGKILL'),
      () => undefined,
    );
    await ended;
    over.abort();
    await patience;
  };
  try {
    await start();
  } catch (error) {
    await end('SIGKILL');
    throw error;
  }
  return {
    address,
    get pid() {
      return child.pid ?? 0;
    },
    logFile,
    kill: () => end('SIGKILL'),
    async restart() {
      await end('SIGTERM');
      await start();
    },
    async stop() {
      await end('SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

if (import.meta.main) process.exitCode = await runWith(process.argv.slice(2));

/** Runs a command that is told of a fresh server, by TEMPORAL_ADDRESS; without one, shows the address and waits. */
async function runWith([program, ...args]: readonly string[]): Promise<number> {
  const stopped = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopped.abort());
  await using held = new AsyncDisposableStack();
  const postgres = await startPostgres();
  held.defer(() => postgres.stop());
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  const { address, stop, logFile } = await startTemporalOnPostgres(postgres, { log });
  held.defer(() => stop());
  log(`TEMPORAL_ADDRESS=${address} (Postgres at port ${postgres.port}, errors in ${logFile})`);
  if (program === undefined) {
    await once(stopped.signal, 'abort');
    return 0;
  }
  const child = spawn(program, args, {
    env: { ...process.env, TEMPORAL_ADDRESS: address },
    stdio: 'inherit',
  });
  stopped.signal.addEventListener('abort', () => child.kill('SIGTERM'));
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}
