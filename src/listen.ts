/** An application on a port: what every role that speaks HTTP does alike. */
import { createAdaptorServer } from '@hono/node-server';
import { once } from 'node:events';
import { Server } from 'node:http';

/** A port that is listened on. */
export interface Listening {
  readonly port: number;
  /** Takes nothing new, lets what is under way end for `drainMs`, then breaks it off. Safe to call again. */
  close(drainMs: number): Promise<void>;
}

/** Listens; port 0 picks any. */
export async function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  { port, host }: { port: number; host: string },
): Promise<Listening> {
  const server = createAdaptorServer({ fetch, overrideGlobalObjects: false });
  if (!(server instanceof Server)) throw new TypeError('Expected a plain HTTP server.');
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('Expected a TCP address.');
  let closing: Promise<void> | undefined;
  const stop = async (drainMs: number): Promise<void> => {
    const closed = once(server, 'close');
    server.close();
    const limit = setTimeout(() => server.closeAllConnections(), drainMs);
    if (drainMs === 0) server.closeAllConnections();
    else server.closeIdleConnections();
    await closed;
    clearTimeout(limit);
  };
  return { port: address.port, close: (drainMs) => (closing ??= stop(drainMs)) };
}
