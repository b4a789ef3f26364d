/** A server's sessions, read by the test process itself, past the API. */
import { join } from 'node:path';
import { openBlobs } from '../../src/blobs/open.ts';
import { RUN_LIMITS } from '../../src/loop/run-limits.ts';
import { openEngine, type EngineDeps } from '../../src/engine.ts';
import type { Sessions } from '../../src/session.ts';

/** Where a server keeps its sessions. */
export interface SessionsPlace {
  readonly engine: 'temporal' | 'log';
  readonly dataDir: string;
  readonly temporalAddress: string | undefined;
  readonly databaseUrl: string | undefined;
}

/** Nobody tells this process of changes; it finds them when it looks again. */
const NO_NOTICES = { origin: '', announce: () => undefined, listen: () => () => undefined };

/** What the server's engine was opened with. */
export function engineConfig({
  engine,
  dataDir,
  temporalAddress: address,
  databaseUrl: url,
}: SessionsPlace): EngineDeps['config'] {
  return {
    engine,
    dataDir,
    temporal: { address, namespace: 'drover', taskQueue: 'drover', runs: RUN_LIMITS },
    database:
      url === undefined ? { kind: 'sqlite', path: join(dataDir, 'drover.db') } : { kind: 'postgres', url },
  };
}

/** Opens the sessions of a server. The caller closes. */
export async function openSessions(
  place: SessionsPlace,
): Promise<{ readonly sessions: Sessions; close(): Promise<void> }> {
  const config = engineConfig(place);
  const blobs = await openBlobs(config);
  const { sessions, close } = await openEngine({ config, blobs, notices: NO_NOTICES });
  return {
    sessions,
    async close() {
      await close();
      await blobs.close();
    },
  };
}

/** Opens the sessions of a server for the time of `use`. */
export async function withSessions<T>(
  place: SessionsPlace,
  use: (sessions: Sessions) => Promise<T>,
): Promise<T> {
  const opened = await openSessions(place);
  try {
    return await use(opened.sessions);
  } finally {
    await opened.close();
  }
}
