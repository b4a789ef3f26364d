/** A server's sessions, read by the test process itself, past the API. */
import { join } from 'node:path';
import { createFolderBlobs } from '../../src/blobs/folder.ts';
import { openEngine, type Engine } from '../../src/engine.ts';
import type { Sessions } from '../../src/session.ts';

/** Where a server keeps its sessions. */
export interface SessionsPlace {
  readonly engine: 'temporal' | 'log';
  readonly dataDir: string;
  readonly temporalAddress: string | undefined;
}

/** Nobody tells this process of changes; it finds them when it looks again. */
const NO_NOTICES = { announce: () => undefined, listen: () => () => undefined };

/** Opens the sessions of a server. The caller closes. */
export async function openSessions({
  engine,
  dataDir,
  temporalAddress: address,
}: SessionsPlace): Promise<Engine> {
  const temporal = { address, namespace: 'drover', taskQueue: 'drover' };
  return await openEngine({
    config: { engine, dataDir, temporal },
    blobs: createFolderBlobs(join(dataDir, 'blobs')),
    notices: NO_NOTICES,
  });
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
