/** Serves the scripted model on a port: as a role of its own, and inside tests. */
import { createAdaptorServer } from '@hono/node-server';
import { once } from 'node:events';
import { Server } from 'node:http';
import { createModelApp, type ModelOptions } from './app.ts';
import { createRequestLog, type RequestLog } from './request-log.ts';

/** A model that is being served. */
export interface ServedModel {
  readonly url: string;
  readonly port: number;
  /** What it has been asked, without a detour through HTTP. */
  readonly requests: RequestLog;
  /** Stops at once: answers that are under way are broken off. */
  close(): Promise<void>;
}

/** Starts serving. Port 0 picks any; only this machine can reach it unless `host` says otherwise. */
export async function serveModel(
  options: ModelOptions & { port?: number; host?: string } = {},
): Promise<ServedModel> {
  const { port = 0, host = '127.0.0.1', ...rest } = options;
  const requests = rest.requests ?? createRequestLog(rest.keepRequests ?? 200);
  const app = createModelApp({ ...rest, requests });
  const server = createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects: false });
  if (!(server instanceof Server)) throw new TypeError('Expected a plain HTTP server.');
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('Expected a TCP address.');
  const url = `http://${host}:${address.port}`;
  options.log?.info('listening', { url });
  let closing: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  return { url, port: address.port, requests, close: () => (closing ??= stop()) };
}
