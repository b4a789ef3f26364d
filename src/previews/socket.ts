/**
 * The bus between processes of one machine, a local socket with one JSON text a line: the API listens, workers
 * connect. It carries previews, of which the API tells each worker for which sessions somebody wants them, and notices
 * of changed logs, both ways.
 */
import { rm } from 'node:fs/promises';
import { createServer, connect, type Socket } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { BusAddress } from '../config.ts';
import type { Notices } from '../notices.ts';
import type { PreviewMessage, PreviewReceiver, PreviewSender } from '../previews.ts';

/** To a worker. */
type Order = { readonly watch: string } | { readonly unwatch: string } | Notice;
/** Either way. */
interface Notice {
  readonly changed: string;
}

const RECONNECT_MS = 250;
/** A receiver that does not keep up loses previews; they are best effort. */
const MOST_BUFFERED_BYTES = 4 * 1024 * 1024;
/** More than a worker has model requests under way. */
const SPANS_REMEMBERED = 2000;

/** Listens for workers at `address`. */
export async function receivePreviews(
  address: BusAddress,
): Promise<PreviewReceiver & { readonly notices: Notices }> {
  const listeners = new Map<string, Set<(message: PreviewMessage) => void>>();
  const workers = new Set<Socket>();
  const noticed = new Set<(sessionId: string) => void>();
  const tell = (worker: Socket, order: Order): boolean => worker.write(`${JSON.stringify(order)}\n`);

  const server = createServer((worker) => {
    workers.add(worker);
    worker.on('error', () => worker.destroy());
    worker.on('close', () => workers.delete(worker));
    for (const sessionId of listeners.keys()) tell(worker, { watch: sessionId });
    readMessages(worker, (value) => {
      const message = value as PreviewMessage | Notice;
      if ('changed' in message) {
        for (const listener of noticed) listener(message.changed);
        for (const other of workers) if (other !== worker) tell(other, message);
        return;
      }
      for (const listener of listeners.get(message.sessionId) ?? []) listener(message);
    });
  });
  if ('path' in address) await rm(address.path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address, resolve);
  });

  return {
    notices: {
      origin: '',
      announce(sessionId) {
        for (const worker of workers) tell(worker, { changed: sessionId });
      },
      listen(listener) {
        noticed.add(listener);
        return () => void noticed.delete(listener);
      },
    },
    listen(sessionId, listener) {
      const known = listeners.get(sessionId);
      const all = known ?? new Set();
      all.add(listener);
      if (!known) {
        listeners.set(sessionId, all);
        for (const worker of workers) tell(worker, { watch: sessionId });
      }
      return () => {
        all.delete(listener);
        if (all.size > 0 || listeners.get(sessionId) !== all) return;
        listeners.delete(sessionId);
        for (const worker of workers) tell(worker, { unwatch: sessionId });
      };
    },
    async close() {
      for (const worker of workers) worker.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Connects to the API at `address`, again and again: either end may restart at any time. */
export function sendPreviews(address: BusAddress): PreviewSender & { readonly notices: Notices } {
  const noticed = new Set<(sessionId: string) => void>();
  const watched = new Set<string>();
  const sent = new LRUCache<string, true>({ max: SPANS_REMEMBERED });
  /** Spans of which something was lost: no more of them, because a preview has no holes (wire-api 12.1). */
  const broken = new LRUCache<string, true>({ max: SPANS_REMEMBERED });
  let socket: Socket | undefined;
  let retry: NodeJS.Timeout | undefined;
  let closed = false;

  function open(): void {
    const api = connect(address);
    api.on('connect', () => {
      if (closed) api.destroy();
      else socket = api;
    });
    api.on('error', () => api.destroy());
    api.on('close', () => {
      socket = undefined;
      watched.clear();
      for (const spanId of sent.keys()) broken.set(spanId, true);
      sent.clear();
      if (!closed) retry = setTimeout(open, RECONNECT_MS);
    });
    readMessages(api, (value) => {
      const order = value as Order;
      if ('changed' in order) for (const listener of noticed) listener(order.changed);
      else if ('watch' in order) watched.add(order.watch);
      else watched.delete(order.unwatch);
    });
  }
  open();

  return {
    notices: {
      origin: '',
      announce(sessionId) {
        if (socket && socket.writableLength <= MOST_BUFFERED_BYTES)
          socket.write(`${JSON.stringify({ changed: sessionId } satisfies Notice)}\n`);
      },
      listen(listener) {
        noticed.add(listener);
        return () => void noticed.delete(listener);
      },
    },
    send(message) {
      const { sessionId, spanId } = message;
      if (!socket || !watched.has(sessionId) || broken.has(spanId)) return;
      if (socket.writableLength > MOST_BUFFERED_BYTES) {
        broken.set(spanId, true);
        return;
      }
      sent.set(spanId, true);
      socket.write(`${JSON.stringify(message)}\n`);
    },
    // What was written to the socket goes out in that order.
    flush: async () => undefined,
    close() {
      closed = true;
      clearTimeout(retry);
      socket?.destroy();
    },
  };
}

/** Splits by hand: `node:readline` also breaks lines at U+2028, which JSON may hold as it is. */
function readMessages(socket: Socket, onMessage: (message: object) => void): void {
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const message = parse(line);
      if (typeof message === 'object' && message !== null) onMessage(message);
    }
  });
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
