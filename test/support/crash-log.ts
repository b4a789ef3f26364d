/** A session's log and history, read by the test process itself, past the API. */
import { Client } from '@temporalio/client';
import { join } from 'node:path';
import { createFolderBlobs } from '../../src/blobs/folder.ts';
import type { Entry } from '../../src/log.ts';
import type { Sessions } from '../../src/session.ts';
import { createTemporalSessions } from '../../src/engine/temporal/sessions.ts';
import { connectTemporal } from '../../src/temporal-server/connection.ts';
import type { CrashServer } from './crash-server.ts';
import { checkLog } from './invariants.ts';
import { eventually } from './process.ts';

/** Where a server keeps its sessions. */
export type LogPlace = Pick<CrashServer, 'dataDir' | 'temporalAddress'>;

/** Opens the sessions of a server for the time of `use`. */
export async function withSessions<T>(
  { dataDir, temporalAddress }: LogPlace,
  use: (sessions: Sessions, client: Client) => Promise<T>,
): Promise<T> {
  const connection = await connectTemporal(temporalAddress);
  try {
    const client = new Client({ connection, namespace: 'drover' });
    const blobs = createFolderBlobs(join(dataDir, 'blobs'));
    return await use(createTemporalSessions({ client, blobs, taskQueue: 'drover' }), client);
  } finally {
    await connection.close();
  }
}

/** Reads the log and checks it against all invariants; the session rests. */
export async function checkSessionLog(place: LogPlace, sessionId: string): Promise<readonly Entry[]> {
  const entries = await withSessions(place, (sessions) => sessions.getEvents(sessionId));
  checkLog(entries, true);
  return entries;
}

/** Wakes a session and waits until a worker has looked at it: one that is new has replayed it by then. */
export async function replayed(place: LogPlace, sessionId: string): Promise<void> {
  await withSessions(place, async (sessions, client) => {
    await sessions.wake(sessionId);
    await eventually(
      'a worker to look at the session',
      async () => {
        const { events } = await client.workflow.getHandle(sessionId).fetchHistory();
        const woken = events?.findLastIndex((event) => event.workflowExecutionSignaledEventAttributes) ?? -1;
        return events?.slice(woken).some((event) => event.workflowTaskCompletedEventAttributes);
      },
      30_000,
    );
  });
}
