/**
 * The bus: what joins the processes of a server besides the log itself. It carries previews from workers to APIs, and
 * notices of changed logs between all of them; over a local socket, or through Postgres where that is the database.
 */
import { randomUUID } from 'node:crypto';
import type { RoleConfig } from './config.ts';
import type { Notices } from './notices.ts';
import { createListener, type Listener } from './postgres/listener.ts';
import type { PreviewReceiver, PreviewSender } from './previews.ts';
import { receivePostgresPreviews, sendPostgresPreviews } from './previews/postgres.ts';
import { receivePreviews, sendPreviews } from './previews/socket.ts';

/** An API's end. */
export interface ApiBus {
  readonly previews: PreviewReceiver;
  readonly notices: Notices;
  close(): Promise<void>;
}

/** A worker's end. */
export interface WorkerBus {
  readonly previews: PreviewSender;
  readonly notices: Notices;
  close(): Promise<void>;
}

/** The channel of Postgres on which changed logs are announced; a message is `<origin> <session id>`. */
export const LOG_CHANNEL = 'drover_log';

/** Opens an API's end where the settings say. */
export async function openApiBus(bus: RoleConfig['bus']): Promise<ApiBus> {
  if (!('url' in bus)) {
    const { notices, ...previews } = await receivePreviews(bus);
    return { previews, notices, close: () => previews.close() };
  }
  const listener = createListener(bus.url);
  const previews = receivePostgresPreviews(listener);
  return {
    previews,
    notices: postgresNotices(listener),
    async close() {
      await previews.close();
      await listener.close();
    },
  };
}

/** Opens a worker's end where the settings say. */
export function openWorkerBus(bus: RoleConfig['bus']): WorkerBus {
  if (!('url' in bus)) {
    const { notices, ...previews } = sendPreviews(bus);
    return { previews, notices, close: async () => previews.close() };
  }
  const listener = createListener(bus.url);
  const previews = sendPostgresPreviews(listener);
  return {
    previews,
    notices: postgresNotices(listener),
    async close() {
      previews.close();
      await listener.close();
    },
  };
}

/** Writes to logs in Postgres announce themselves when they are committed, so nothing is sent from here. */
function postgresNotices(listener: Listener): Notices {
  const origin = randomUUID();
  return {
    origin,
    announce: () => undefined,
    listen: (tell) =>
      listener.listen(LOG_CHANNEL, (message) => {
        const [from, sessionId] = message.split(' ');
        if (from !== origin && sessionId !== undefined) tell(sessionId);
      }),
  };
}
