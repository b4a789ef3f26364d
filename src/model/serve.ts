/** Serves the scripted model on a port: as a role of its own, and inside tests. */
import { listen } from '../listen.ts';
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
  const listening = await listen(app.fetch, { port, host });
  const url = `http://${host}:${listening.port}`;
  options.log?.info('listening', { url });
  return { url, port: listening.port, requests, close: () => listening.close(0) };
}
