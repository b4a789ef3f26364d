/** Code of engines that a server may have been built without. */
import { ConfigError } from './config.ts';

/** Why there is none. */
export const NOT_INSTALLED = 'this engine is not part of this server';

/** Waits for code that is being loaded; undefined where it is not installed. */
export async function ifInstalled<T>(loading: Promise<T>): Promise<T | undefined> {
  try {
    return await loading;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}

/** Waits for an engine's code that is being loaded; says it clearly where this server was built without it. */
export async function orMissing<T>(name: string, loading: Promise<T>): Promise<T> {
  const code = await ifInstalled(loading);
  if (code === undefined) throw new ConfigError(`DROVER_ENGINE: ${name}: ${NOT_INSTALLED}`);
  return code;
}
