/**
 * Port: an engine, which keeps the logs of sessions and sees to it that they are worked on. There are two schools of
 * it: a workflow engine whose histories are the logs, and a log in a database with harnesses that lease sessions.
 */
import type { Blobs } from './blobs.ts';
import { ConfigError, type RoleConfig } from './config.ts';
import type { Logger } from './log-line.ts';
import type { Notices } from './notices.ts';
import type { Operations } from './operations.ts';
import type { Sessions } from './session.ts';

/** An engine, opened by a process. */
export interface Engine {
  readonly sessions: Sessions;
  /** Throws when what keeps the logs cannot be reached. */
  check(): Promise<void>;
  /** Begins to work on sessions in this process. Once a process. */
  work(operations: Operations, log: Logger): Promise<{ stop(): Promise<void> }>;
  close(): Promise<void>;
}

/** What an engine is opened with. */
export interface EngineDeps {
  readonly config: Pick<RoleConfig, 'engine' | 'dataDir' | 'database' | 'temporal'>;
  readonly blobs: Blobs;
  readonly notices: Notices;
}

/** Opens the engine that is configured. Only its own code is loaded: a server may be built without the other. */
export async function openEngine(deps: EngineDeps): Promise<Engine> {
  switch (deps.config.engine) {
    case 'temporal': {
      const { openTemporalEngine } = await orMissing('temporal', import('./engine/temporal.ts'));
      return await openTemporalEngine(deps);
    }
    case 'log': {
      const { openLogEngine } = await orMissing('log', import('./engine/log.ts'));
      return await openLogEngine(deps);
    }
  }
}

/** Waits for an engine's code that is being loaded; says it clearly where this server was built without it. */
export async function orMissing<T>(name: string, loading: Promise<T>): Promise<T> {
  try {
    return await loading;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')
      throw new ConfigError(`DROVER_ENGINE: the ${name} engine is not part of this server`, { cause: error });
    throw error;
  }
}
