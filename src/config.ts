/**
 * The only reader of the environment. Parsed once by a composition root and passed down; nothing else looks at
 * `process.env`. The names are the contract of `npm start` (docs/start.md).
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import process from 'node:process';
import type { ContextPolicy } from './log.ts';
import { RUN_LIMITS, type RunLimits } from './loop/run-limits.ts';
import { LIST_PRICES, readPriceTable, type PriceTable } from './prices.ts';

/** Everything that can be set from outside. */
export interface Config {
  /** Address that the API and the proxy listen on. Loopback, unless a container's own network does the fencing. */
  readonly host: string;
  /** API port; 0 picks any. */
  readonly port: number;
  /** Where all state lives. */
  readonly dataDir: string;
  /** API key of the default workspace; undefined: one is made and kept. */
  readonly apiKey: string | undefined;
  readonly database: DatabasePlace;
  /** The upstream model. Neither set: the bundled scripted model. */
  readonly model: { readonly apiKey: string | undefined; readonly baseUrl: string | undefined };
  /** What keeps sessions' logs and sees to their work. */
  readonly engine: 'temporal' | 'log';
  readonly temporal: {
    /** Use this server instead of starting one. */
    readonly address: string | undefined;
    readonly namespace: string;
    readonly taskQueue: string;
    /** How long the runs of a session become. */
    readonly runs: RunLimits;
  };
  readonly workers: number;
  /** undefined: docker if its daemon answers, else bubblewrap. */
  readonly sandbox: 'docker' | 'bubblewrap' | undefined;
  readonly sandboxImage: string;
  /** How long a session must have been at rest for its hand to be suspended; 0: it never is. */
  readonly handIdleMs: number;
  /** Whether the files of a hand are kept after each call that may change them, for forks. */
  readonly snapshots: 'on' | 'off';
  readonly provision: 'lazy' | 'eager';
  /** How often a failing model request is tried in all, and the first pause between two tries. */
  readonly modelRetry: { readonly attempts: number; readonly baseMs: number };
  /** Where messages in the middle of a turn are taken up. */
  readonly steering: 'turn' | 'round';
  readonly context: ContextPolicy;
  readonly prices: PriceTable;
  /** Judges tool calls under the policy `auto`; undefined: the client is asked. */
  readonly judgeModel: string | undefined;
  /** Names the point at which a process is to die, for tests; undefined: there are no such points. */
  readonly killPoints: string | undefined;
}

/** Where records are. In Postgres are the blobs, too, and previews pass through it. The URL may hold a password. */
export type DatabasePlace =
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'postgres'; readonly url: string };

/** Where two processes meet to pass token previews on: fits both `server.listen` and `net.connect`. */
export type BusAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/**
 * What the API and the workers are told: the settings less the upstream model's, which only the proxy may know, plus
 * where the other processes are. The supervisor sets these; who runs roles by hand sets them himself.
 */
export interface RoleConfig extends Omit<Config, 'model'> {
  readonly proxy: {
    readonly url: string;
    /** Signs session tokens. Shared by API, workers and proxy. */
    readonly tokenSecret: string;
  };
  /** Where previews pass. `url`: through that Postgres, which needs no address of its own. */
  readonly bus: BusAddress | { readonly url: string };
}

/** What the credential proxy is told. Nobody else is told the upstream's key. */
export interface ProxyConfig {
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  readonly upstream: Config['model'];
  readonly tokenSecret: string;
}

/** What the bundled scripted model is told. */
export interface ModelConfig {
  readonly host: string;
  readonly port: number;
}

/** Where foreign tools are looked for and kept. */
export interface ToolPlaces {
  /** The folders of PATH. */
  readonly searchPath: readonly string[];
  /** Outside of any project, because what is in it takes minutes to build. */
  readonly cacheDir: string;
  /** Environment for building tools: the caller's, less the secrets. */
  readonly env: NodeJS.ProcessEnv;
}

/** A setting has a value that cannot be used. The message names the variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Reads the configuration from environment variables. Throws ConfigError on a bad value. */
export function readConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const dataDir = resolve(env['DROVER_DATA_DIR'] ?? '.drover');
  return Object.freeze({
    host: text(env, 'DROVER_HOST') ?? '127.0.0.1',
    port: portNumber(env, 'PORT', 8787),
    dataDir,
    apiKey: text(env, 'DROVER_API_KEY') ?? secretFile(env, 'DROVER_API_KEY_FILE'),
    database: databasePlace(env, dataDir),
    model: { apiKey: text(env, 'ANTHROPIC_API_KEY'), baseUrl: url(env, 'ANTHROPIC_BASE_URL') },
    engine: oneOf(env, 'DROVER_ENGINE', ['temporal', 'log']) ?? 'temporal',
    temporal: {
      address: text(env, 'TEMPORAL_ADDRESS'),
      namespace: text(env, 'TEMPORAL_NAMESPACE') ?? 'drover',
      taskQueue: text(env, 'DROVER_TASK_QUEUE') ?? 'drover',
      runs: {
        events: wholeNumber(env, 'DROVER_RUN_EVENTS', RUN_LIMITS.events, 20),
        bytes: wholeNumber(env, 'DROVER_RUN_BYTES', RUN_LIMITS.bytes, 10_000),
      },
    },
    workers: wholeNumber(env, 'DROVER_WORKERS', 1, 1),
    sandbox: oneOf(env, 'DROVER_SANDBOX', ['docker', 'bubblewrap']),
    sandboxImage: text(env, 'DROVER_SANDBOX_IMAGE') ?? 'drover-sandbox',
    handIdleMs: wholeNumber(env, 'DROVER_HAND_IDLE', 900, 0) * 1000,
    snapshots: oneOf(env, 'DROVER_SNAPSHOTS', ['on', 'off']) ?? 'on',
    provision: oneOf(env, 'DROVER_PROVISION', ['lazy', 'eager']) ?? 'lazy',
    modelRetry: {
      attempts: wholeNumber(env, 'DROVER_MODEL_ATTEMPTS', 8, 1),
      baseMs: wholeNumber(env, 'DROVER_MODEL_RETRY_BASE_MS', 1000, 1),
    },
    steering: oneOf(env, 'DROVER_STEERING', ['turn', 'round']) ?? 'turn',
    context: {
      clearAtTokens: wholeNumber(env, 'DROVER_CLEAR_AT', 100_000, 0),
      keepResults: wholeNumber(env, 'DROVER_KEEP_RESULTS', 6, 0),
      compactAtTokens: wholeNumber(env, 'DROVER_COMPACT_AT', 160_000, 0),
      keepAnswers: wholeNumber(env, 'DROVER_KEEP_ANSWERS', 2, 0),
    },
    prices: priceTable(env),
    judgeModel: text(env, 'DROVER_JUDGE_MODEL'),
    killPoints: text(env, 'DROVER_KILL_POINTS'),
  });
}

/** Reads what an API or worker process is told. Throws ConfigError where a part is missing. */
export function readRoleConfig(env: NodeJS.ProcessEnv = process.env): RoleConfig {
  const { model: _, ...rest } = readConfig(env);
  if (rest.engine === 'temporal') required('TEMPORAL_ADDRESS', rest.temporal.address);
  return Object.freeze({
    ...rest,
    proxy: {
      url: required('DROVER_PROXY_URL', url(env, 'DROVER_PROXY_URL')),
      tokenSecret: tokenSecret(env),
    },
    bus: rest.database.kind === 'postgres' ? { url: rest.database.url } : busAddress(env),
  });
}

/** Reads what the credential proxy is told. Throws ConfigError where a part is missing. */
export function readProxyConfig(env: NodeJS.ProcessEnv = process.env): ProxyConfig {
  const { host, dataDir, model } = readConfig(env);
  return Object.freeze({
    host,
    port: portNumber(env, 'DROVER_PROXY_PORT', 8789),
    dataDir,
    upstream: model,
    tokenSecret: tokenSecret(env),
  });
}

/** Reads what the scripted model is told. */
export function readModelConfig(env: NodeJS.ProcessEnv = process.env): ModelConfig {
  return Object.freeze({ host: readConfig(env).host, port: portNumber(env, 'DROVER_MODEL_PORT', 8790) });
}

/** Reads where foreign tools are looked for and kept. */
export function readToolPlaces(env: NodeJS.ProcessEnv = process.env): ToolPlaces {
  const cache = text(env, 'XDG_CACHE_HOME') ?? join(text(env, 'HOME') ?? homedir(), '.cache');
  return {
    searchPath: (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== ''),
    cacheDir: join(cache, 'drover', 'bin'),
    env: Object.fromEntries(Object.entries(env).filter(([name]) => !isSecretName(name))),
  };
}

/** The environment of this process, with some names set otherwise: for a composition root that starts others. */
export function environment(overrides: Readonly<Record<string, string | undefined>> = {}): NodeJS.ProcessEnv {
  return { ...process.env, ...overrides };
}

/** Whether a variable with this name may hold a secret; the path of a file that holds one is none. */
export function isSecretName(name: string): boolean {
  return (
    /(KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|DATABASE_URL|ANTHROPIC)/i.test(name) && !name.endsWith('_FILE')
  );
}

function required(name: string, value: string | undefined): string {
  if (value === undefined)
    throw new ConfigError(`${name}: not set, and this command needs it (npm start sets it by itself)`);
  return value;
}

function tokenSecret(env: NodeJS.ProcessEnv): string {
  return required('DROVER_PROXY_SECRET_FILE', secretFile(env, 'DROVER_PROXY_SECRET_FILE'));
}

/** Secrets travel between our processes as the path of a 0600 file: an environment is readable for longer and by more. */
function secretFile(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const path = text(env, name);
  if (path === undefined) return undefined;
  let value: string;
  try {
    value = readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new ConfigError(
      `${name}: cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (value === '') throw new ConfigError(`${name}: ${path} is empty`);
  return value;
}

function databasePlace(env: NodeJS.ProcessEnv, dataDir: string): DatabasePlace {
  const url = text(env, 'DATABASE_URL') ?? secretFile(env, 'DATABASE_URL_FILE');
  if (url === undefined) return { kind: 'sqlite', path: join(dataDir, 'drover.db') };
  if (!/^postgres(ql)?:$/.test(URL.parse(url)?.protocol ?? ''))
    throw new ConfigError('DATABASE_URL: expected a URL that begins with postgres:// or postgresql://');
  return { kind: 'postgres', url };
}

function priceTable(env: NodeJS.ProcessEnv): PriceTable {
  const path = text(env, 'DROVER_PRICES');
  if (path === undefined) return LIST_PRICES;
  try {
    return readPriceTable(readFileSync(path, 'utf8'));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`DROVER_PRICES: ${path} is not a price table: ${why}`);
  }
}

function busAddress(env: NodeJS.ProcessEnv): BusAddress {
  const raw = required('DROVER_BUS', text(env, 'DROVER_BUS'));
  if (raw.startsWith('unix:')) return { path: raw.slice('unix:'.length) };
  const tcp = /^tcp:\/\/(?<host>[^:/]+):(?<port>\d+)$/.exec(raw)?.groups;
  if (tcp?.['host'] === undefined)
    throw new ConfigError(`DROVER_BUS: expected unix:/path or tcp://host:port, got "${raw}"`);
  return { host: tcp['host'], port: Number(tcp['port']) };
}

function text(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

function wholeNumber(env: NodeJS.ProcessEnv, name: string, fallback: number, least: number): number {
  const raw = text(env, name);
  if (raw === undefined) return fallback;
  const value = Number(raw);
  if (!Number.isInteger(value) || value < least)
    throw new ConfigError(`${name}: expected a whole number of at least ${least}, got "${raw}"`);
  return value;
}

function url(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = text(env, name);
  // The value itself stays out of the message: a URL may hold a password.
  if (value !== undefined && !/^https?:$/.test(URL.parse(value)?.protocol ?? '')) {
    throw new ConfigError(`${name}: expected a URL that begins with http:// or https://`);
  }
  return value;
}

function portNumber(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const value = wholeNumber(env, name, fallback, 0);
  if (value > 65_535) throw new ConfigError(`${name}: ${value} is no port`);
  return value;
}

function oneOf<T extends string>(env: NodeJS.ProcessEnv, name: string, allowed: readonly T[]): T | undefined {
  const raw = text(env, name);
  if (raw === undefined) return undefined;
  const found = allowed.find((value) => value === raw);
  if (found === undefined)
    throw new ConfigError(`${name}: expected one of ${allowed.join(', ')}, got "${raw}"`);
  return found;
}
