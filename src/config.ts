/**
 * The only reader of the environment. Parsed once by a composition root and passed down; nothing else looks at
 * `process.env`. The names are the contract of `npm start` (docs/start.md).
 */
import { resolve } from 'node:path';
import process from 'node:process';

/** Everything that can be set from outside. */
export interface Config {
  /** API port; 0 picks any. */
  readonly port: number;
  /** Where all state lives. */
  readonly dataDir: string;
  /** API key of the default workspace; undefined: one is made and kept. */
  readonly apiKey: string | undefined;
  /** The upstream model. Neither set: the bundled scripted model. */
  readonly model: { readonly apiKey: string | undefined; readonly baseUrl: string | undefined };
  readonly temporal: {
    /** Use this server instead of starting one. */
    readonly address: string | undefined;
    readonly namespace: string;
    readonly taskQueue: string;
  };
  readonly workers: number;
  /** undefined: docker if its daemon answers, else bubblewrap. */
  readonly sandbox: 'docker' | 'bubblewrap' | undefined;
  readonly sandboxImage: string;
  readonly provision: 'lazy' | 'eager';
  /** How often a failing model request is tried in all, and the first pause between two tries. */
  readonly modelRetry: { readonly attempts: number; readonly baseMs: number };
}

/** A setting has a value that cannot be used. The message names the variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Reads the configuration from environment variables. Throws ConfigError on a bad value. */
export function readConfig(env: NodeJS.ProcessEnv = process.env): Config {
  return Object.freeze({
    port: wholeNumber(env, 'PORT', 8787, 0),
    dataDir: resolve(env['DROVER_DATA_DIR'] ?? '.drover'),
    apiKey: text(env, 'DROVER_API_KEY'),
    model: { apiKey: text(env, 'ANTHROPIC_API_KEY'), baseUrl: text(env, 'ANTHROPIC_BASE_URL') },
    temporal: {
      address: text(env, 'TEMPORAL_ADDRESS'),
      namespace: text(env, 'TEMPORAL_NAMESPACE') ?? 'drover',
      taskQueue: text(env, 'DROVER_TASK_QUEUE') ?? 'drover',
    },
    workers: wholeNumber(env, 'DROVER_WORKERS', 1, 1),
    sandbox: oneOf(env, 'DROVER_SANDBOX', ['docker', 'bubblewrap']),
    sandboxImage: text(env, 'DROVER_SANDBOX_IMAGE') ?? 'drover-sandbox',
    provision: oneOf(env, 'DROVER_PROVISION', ['lazy', 'eager']) ?? 'lazy',
    modelRetry: {
      attempts: wholeNumber(env, 'DROVER_MODEL_ATTEMPTS', 8, 1),
      baseMs: wholeNumber(env, 'DROVER_MODEL_RETRY_BASE_MS', 1000, 1),
    },
  });
}

function text(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

function wholeNumber(env: NodeJS.ProcessEnv, name: string, fallback: number, least: number): number {
  const raw = text(env, name);
  if (raw === undefined) return fallback;
  const value = Number(raw);
  if (!Number.isInteger(value) || value < least) throw new ConfigError(`${name}: expected a whole number of at least ${least}, got "${raw}"`);
  return value;
}

function oneOf<T extends string>(env: NodeJS.ProcessEnv, name: string, allowed: readonly T[]): T | undefined {
  const raw = text(env, name);
  if (raw === undefined) return undefined;
  const found = allowed.find((value) => value === raw);
  if (found === undefined) throw new ConfigError(`${name}: expected one of ${allowed.join(', ')}, got "${raw}"`);
  return found;
}
