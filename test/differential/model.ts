/** The scripted model in the hands of the test: what it was asked by conversation, and its holds. */
import { createAdaptorServer } from '@hono/node-server';
import { once } from 'node:events';
import { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createModelApp } from '../../src/model/app.ts';
import { createHolds, type Holds } from '../../src/model/holds.ts';
import { createRequestLog, type ReceivedRequest, type RequestLog } from '../../src/model/request-log.ts';

/** A model that is being served. */
export interface HeldModel {
  readonly url: string;
  readonly holds: Holds;
  /** What it was asked in a conversation, oldest first. */
  requests(mark: string): readonly ReceivedRequest[];
  /** The same, and forgets it. */
  takeRequests(mark: string): readonly ReceivedRequest[];
  close(): Promise<void>;
}

/** Every request holds it: it stands in the agent's instructions. */
const MARK = /You are (c\d+-\d+)\./;

/** Starts serving. */
export async function serveHeldModel(): Promise<HeldModel> {
  const asked = new Map<string, ReceivedRequest[]>();
  const holds = createHolds();
  const app = createModelApp({ holds, requests: requestsByMark(asked) });
  const server = createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects: false });
  if (!(server instanceof Server)) throw new TypeError('Expected a plain HTTP server.');
  // A busy test process must not close a connection just when the proxy takes it again: that is a failed request.
  server.keepAliveTimeout = 0;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    holds,
    requests: (mark) => asked.get(mark) ?? [],
    takeRequests(mark) {
      const requests = asked.get(mark) ?? [];
      asked.delete(mark);
      return requests;
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Keeps requests by the conversation that they belong to: there are many, and each is looked for often. */
function requestsByMark(asked: Map<string, ReceivedRequest[]>): RequestLog {
  const last = createRequestLog(1);
  return {
    ...last,
    add(request) {
      const received = last.add(request);
      const mark = MARK.exec(request.text)?.[1];
      if (mark !== undefined) asked.set(mark, [...(asked.get(mark) ?? []), received]);
      return received;
    },
  };
}
