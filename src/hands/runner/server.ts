/** Serves the calls of one hand on a unix socket. */
import { chmod, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import type { Calls } from './calls.ts';
import {
  createLineSplitter,
  parseRequest,
  PROTOCOL_VERSION,
  toLine,
  type Reply,
  type Request,
} from './protocol.ts';

/** The longest message taken from a worker: `write` carries whole files. */
const MAX_REQUEST_BYTES = 256 * 1024 * 1024;

/** Listens on the socket; a socket left by a dead runner is replaced. */
export async function serveCalls(socketPath: string, calls: Calls): Promise<Server> {
  await rm(socketPath, { force: true });
  const server = createServer((socket) => serveConnection(socket, calls));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  await chmod(socketPath, 0o600);
  return server;
}

function serveConnection(socket: Socket, calls: Calls): void {
  const split = createLineSplitter(MAX_REQUEST_BYTES);
  // A worker that goes away in mid-call is an everyday event; its calls run on without it.
  socket.on('error', () => socket.destroy());
  const send = (reply: Reply): void => {
    if (!socket.destroyed) socket.write(toLine(reply));
  };
  send({ type: 'hello', protocol: PROTOCOL_VERSION });
  socket.on('data', (chunk: Buffer) => {
    try {
      for (const line of split(chunk)) {
        const request = parseRequest(line);
        if (request === undefined) throw new Error('a message that is no request');
        void answer(request, calls).then(send);
      }
    } catch {
      socket.destroy();
    }
  });
}

async function answer(request: Request, calls: Calls): Promise<Reply> {
  const { seq } = request;
  if (request.type === 'execute') return { type: 'outcome', seq, outcome: await calls.execute(request.call) };
  if (request.type === 'abort') await calls.abort(request.id);
  return { type: 'done', seq };
}
