/** A server's sessions, read by the test process itself, past the API. */
import { join } from 'node:path';
import { createFolderBlobs } from '../../src/blobs/folder.ts';
import { openEngine, type EngineDeps } from '../../src/engine.ts';
import type { Sessions } from '../../src/session.ts';

/** Where a server keeps its sessions. */
export interface SessionsPlace {
  readonly engine: 'temporal' | 'log';
  readonly dataDir: string;
  readonly temporalAddress: string | undefined;
}

/** Nobody tells this process of changes; it finds them when it looks again. */
const NO_NOTICES = { announce: () => undefined, listen: () => () => undefined };

/** What the server's engine was opened with. */
export function engineConfig({
  engine,
  dataDir,
  temporalAddress: address,
}: SessionsPlace): EngineDeps['config'] {
  return { engine, dataDir, temporal: { address, namespace: 'drover', taskQueue: 'drover' } };
}

/** Opens the sessions of a server for the time of `use`. */
export async function withSessions<T>(
  place: SessionsPlace,
  use: (sessions: Sessions) => Promise<T>,
): Promise<T> {
  const opened = await openEngine({
    config: engineConfig(place),
    blobs: createFolderBlobs(join(place.dataDir, 'blobs')),
    notices: NO_NOTICES,
  });
  try {
    return await use(opened.sessions);
  } finally {
    await opened.close();
  }
}
