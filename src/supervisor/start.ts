/** What `npm start` does: every process of a Drover server, in order, under one supervisor. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { orMissing } from '../installed.ts';
import { orAborted } from './abort.ts';
import { busAddress, makeFolders, takeDataDir, type Folders } from './data-dir.ts';
import { stopLeftovers } from './pid-file.ts';
import { choosePorts, isFree } from './ports.ts';
import { createRoles, roleMark, temporalMark, type RoleSettings, type StartRole } from './roles.ts';
import { ensureSecretFile, writeSecretFile } from './secret-file.ts';
import { createSandboxEnd } from './sandboxes.ts';

/** How to start a server, besides its configuration. */
export interface StartOptions {
  /** The script that is started with a role's name: `src/cli.ts`. */
  readonly entry: string;
  /** The environment that each process gets its part of. */
  readonly env: NodeJS.ProcessEnv;
  /** Gets what a person may want to know, while it starts and later. */
  readonly log: (line: string) => void;
  /** Aborting gives the start up, and stops what was started by then. */
  readonly signal: AbortSignal;
}

/** A server that runs. */
export interface RunningServer {
  readonly url: string;
  /** Stops everything in order; no process is left when it resolves. */
  stop(): Promise<void>;
}

/** Everything that the steps of a start need. */
interface Start extends StartOptions {
  readonly config: Config;
  readonly folders: Folders;
  readonly startRole: StartRole;
  readonly held: AsyncDisposableStack;
}

const LEFTOVER_GRACE_MS = 15_000;
const HEALTHY_WITHIN_MS = 60_000;
const HEALTH_POLL_MS = 50;
const LOOPBACK = '127.0.0.1';

/**
 * Starts all processes and resolves when the API answers. What they are told of each other is decided here, and so
 * is who knows which secret.
 *
 * @throws when one of them cannot be started, or another server has the data dir; nothing is left running then
 */
export async function startServer(config: Config, options: StartOptions): Promise<RunningServer> {
  // Taken down in reverse: API, workers, sandboxes, proxy, model, Temporal, the data dir.
  const held = new AsyncDisposableStack();
  try {
    const url = await startAll(config, options, held);
    let stopped: Promise<void> | undefined;
    return { url, stop: async () => await (stopped ??= held.disposeAsync()) };
  } catch (error) {
    await held.disposeAsync();
    throw error;
  }
}

async function startAll(config: Config, options: StartOptions, held: AsyncDisposableStack): Promise<string> {
  const { dataDir } = config;
  const folders = await makeFolders(dataDir);
  await takeDataDir(dataDir, folders, held);
  await clearTheWay(config, folders, options.log);
  const places = { runDir: folders.run, logsDir: folders.logs, log: options.log };
  const start: Start = {
    ...options,
    config,
    folders,
    held,
    startRole: createRoles({ ...options, dataDir, places, held }),
  };
  const wantsTemporal = config.engine === 'temporal' || config.temporal.address !== undefined;
  const engine = wantsTemporal ? await provideTemporal(start) : {};
  // Begun when the workers have ended, and waited for when proxy and model have, too.
  const sandboxEnd = createSandboxEnd(dataDir, options.log);
  held.defer(async () => await sandboxEnd.done());
  const proxy = await startProxy(start);
  held.defer(() => sandboxEnd.begin());
  const shared = { ...engine, ...proxy, ...(await provideDatabase(start)) };
  await start.startRole('worker', workerNames(config.workers), () => ({
    ...shared,
    DROVER_API_KEY_FILE: undefined,
  }));
  return await startApi(start, shared);
}

async function clearTheWay(config: Config, folders: Folders, log: (line: string) => void): Promise<void> {
  const marks = [roleMark(config.dataDir), temporalMark(config.dataDir)];
  const leftovers = await stopLeftovers(folders.run, marks, LEFTOVER_GRACE_MS);
  if (leftovers.length > 0) log(`stopped what an earlier start had left: ${leftovers.join(', ')}`);
  if (config.port !== 0 && !(await isFree(config.port, config.host))) {
    throw new Error(`port ${config.port} is taken; set PORT to another one, or to 0 for any`);
  }
}

/** Starts a Temporal server, or takes the one that was named, and prepares it for sessions. */
async function provideTemporal({ config, held, log, signal }: Start): Promise<RoleSettings> {
  const [{ startTemporal }, { setUpTemporal }] = await orMissing(
    'temporal',
    Promise.all([import('../temporal-server/server.ts'), import('../temporal-server/set-up.ts')]),
  );
  const { namespace } = config.temporal;
  let { address } = config.temporal;
  if (address === undefined) {
    const server = await startTemporal({ dataDir: config.dataDir, log, signal });
    held.defer(async () => await server.stop());
    ({ address } = server);
    log(`Temporal UI: ${server.uiUrl}/namespaces/${namespace}/workflows`);
  } else {
    log(`Temporal: ${address}, namespace ${namespace}`);
  }
  await orAborted(setUpTemporal({ address, namespace }), signal);
  return {
    TEMPORAL_ADDRESS: address,
    TEMPORAL_NAMESPACE: namespace,
  };
}

/** Starts the credential proxy, and before it the scripted model where no upstream was named. */
async function startProxy({ config, folders, startRole, log }: Start): Promise<RoleSettings> {
  const secretFile = join(folders.secrets, 'proxy-token');
  await ensureSecretFile(secretFile);
  const ports = await choosePorts(join(folders.run, 'ports.json'), ['model', 'proxy']);
  const { apiKey, baseUrl } = config.model;
  const scripted = apiKey === undefined && baseUrl === undefined;
  if (scripted) {
    log("no ANTHROPIC_API_KEY: using the bundled scripted model, answers are not Claude's");
    await startRole('model', ['model'], () => ({
      DROVER_HOST: LOOPBACK,
      DROVER_MODEL_PORT: String(ports.model),
      DROVER_API_KEY_FILE: undefined,
    }));
  } else {
    log(`model: ${baseUrl === undefined ? "Anthropic's API" : new URL(baseUrl).host}`);
  }
  await startRole('proxy', ['proxy'], () => ({
    DROVER_HOST: LOOPBACK,
    DROVER_PROXY_PORT: String(ports.proxy),
    // Otherwise Node's fetch does not heed HTTPS_PROXY and its kin.
    NODE_USE_ENV_PROXY: '1',
    DROVER_PROXY_SECRET_FILE: secretFile,
    DROVER_API_KEY_FILE: undefined,
    ANTHROPIC_API_KEY: apiKey,
    ANTHROPIC_BASE_URL: scripted ? `http://${LOOPBACK}:${ports.model}` : baseUrl,
  }));
  return { DROVER_PROXY_URL: `http://${LOOPBACK}:${ports.proxy}`, DROVER_PROXY_SECRET_FILE: secretFile };
}

/** Tells API and workers the database's URL by a file, because it may hold a password; without one, where they meet. */
async function provideDatabase({ config, folders, held, log }: Start): Promise<RoleSettings> {
  const file = join(folders.secrets, 'database-url');
  const forget = async () => await rm(file, { force: true });
  if (config.database.kind === 'sqlite') {
    await forget();
    return { DROVER_BUS: await busAddress(folders, held) };
  }
  const { url } = config.database;
  held.defer(forget);
  await writeSecretFile(file, url);
  log(`database: Postgres at ${new URL(url).host || 'a local socket'}`);
  return { DATABASE_URL_FILE: file };
}

async function startApi({ config, startRole, log, signal }: Start, shared: RoleSettings): Promise<string> {
  const key = await provideApiKey(config, log);
  const [info] = await startRole('api', ['api'], (previous) => ({
    ...shared,
    ...key,
    // A restart keeps the port that the first start was given.
    PORT: String(previous?.port ?? config.port),
  }));
  const url = `http://${reachable(config.host)}:${info?.port ?? config.port}`;
  await untilHealthy(url, signal);
  return url;
}

/** The key that was set goes to the API only; without one, a key is made, kept and shown. */
async function provideApiKey(config: Config, log: (line: string) => void): Promise<RoleSettings> {
  if (config.apiKey !== undefined) return { DROVER_API_KEY: config.apiKey, DROVER_API_KEY_FILE: undefined };
  const file = join(config.dataDir, 'api-key');
  log(`API key: ${await ensureSecretFile(file, 'sk-drover-')} (kept in ${file})`);
  return { DROVER_API_KEY_FILE: file };
}

function workerNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => (index === 0 ? 'worker' : `worker-${index + 1}`));
}

/** Where a listener on `host` is reached from this machine. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return LOOPBACK;
  return host.includes(':') ? `[${host}]` : host;
}

async function untilHealthy(url: string, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + HEALTHY_WITHIN_MS;
  while (Date.now() < deadline) {
    const answer = await fetch(`${url}/healthz`, { signal }).catch(() => undefined);
    signal.throwIfAborted();
    if (answer?.status === 200) return;
    await answer?.body?.cancel();
    await sleep(HEALTH_POLL_MS, undefined, { signal });
  }
  throw new Error(`the API does not answer at ${url}/healthz`);
}
