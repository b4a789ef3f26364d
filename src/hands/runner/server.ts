/** Serves the calls of one hand on a unix socket. */
import { existsSync, watch } from 'node:fs';
import { chmod, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { NoSnapshotError } from '../../snapshot.ts';
import type { Calls } from './calls.ts';
import type { Files } from './files.ts';
import type { Hold } from './hold.ts';
import {
  createLineSplitter,
  parseRequest,
  PROTOCOL_VERSION,
  toLine,
  type Reply,
  type Request,
} from './protocol.ts';
import { createStaging } from './staging.ts';

/** The longest message taken from a worker: `write` carries whole files. */
const MAX_REQUEST_BYTES = 256 * 1024 * 1024;

/** What is served. */
export interface Served {
  readonly calls: Calls;
  readonly files: Files;
}

/** What ends the runner; both are to end the process without waiting for anything. */
export interface Endings {
  /**
   * The socket has been removed and nobody is connected any more: as when the worker's data folder was deleted under
   * a living hand, which no worker will ever find again.
   */
  onUnreachable(): void;
  /** Somebody who holds the calls asks for it. */
  onRequest(): void;
}

/** Listens on the socket; a socket left by a dead runner is replaced. */
export async function serveCalls(socketPath: string, served: Served, endings: Endings): Promise<void> {
  await rm(socketPath, { force: true });
  const connected = new Set<Socket>();
  const endIfUnreachable = (): void => {
    if (connected.size === 0 && !existsSync(socketPath)) endings.onUnreachable();
  };
  const server = createServer((socket) => {
    connected.add(socket);
    socket.on('close', () => {
      connected.delete(socket);
      endIfUnreachable();
    });
    serveConnection(socket, createAnswers(socket, served, { endings, state: dirname(socketPath) }));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  await chmod(socketPath, 0o600);
  watchFolder(dirname(socketPath), (name) => {
    if (name === null || name === basename(socketPath)) endIfUnreachable();
  });
}

/** Where the kernel offers no watching, such hands are left to whoever reaps. */
function watchFolder(folder: string, onChange: (name: string | null) => void): void {
  try {
    watch(folder, (_event, name) => onChange(name)).on('error', () => undefined);
  } catch {
    // Out of watches, most likely.
  }
}

function serveConnection(socket: Socket, answer: (request: Request) => Promise<Reply>): void {
  const split = createLineSplitter(MAX_REQUEST_BYTES);
  // A worker that goes away in mid-call is an everyday event; its calls run on without it.
  socket.on('error', () => socket.destroy());
  const send = (reply: Reply): void => {
    if (!socket.destroyed) socket.write(toLine(reply));
  };
  send({ type: 'hello', protocol: PROTOCOL_VERSION, holds: true, files: true });
  socket.on('data', (chunk: Buffer) => {
    try {
      for (const line of split(chunk)) {
        const request = parseRequest(line);
        if (request === undefined) throw new Error('a message that is no request');
        void answer(request).then(send);
      }
    } catch {
      socket.destroy();
    }
  });
}

/** Answers what comes over one line, and remembers what is held over it and what it has brought. */
function createAnswers(
  socket: Socket,
  { calls, files }: Served,
  { endings, state }: { readonly endings: Endings; readonly state: string },
): (request: Request) => Promise<Reply> {
  let held: Hold | undefined;
  const answerForFiles = createFilesAnswers(socket, { calls, files }, state);
  // Whoever held the calls is gone: they go on.
  socket.on('close', () => held?.drop());

  return async (request) => {
    const { seq } = request;
    switch (request.type) {
      case 'execute':
        return { type: 'outcome', seq, outcome: await calls.execute(request.call) };
      case 'abort':
        await calls.abort(request.id);
        return { type: 'done', seq };
      case 'ping':
        return { type: 'done', seq };
      case 'hold': {
        const hold = socket.destroyed ? undefined : calls.hold(request.quietMs);
        held = hold ?? held;
        return { type: hold === undefined ? 'busy' : 'held', seq };
      }
      case 'end':
        // A call that has begun since the hold is not ended with the rest, however late this comes.
        if (held?.stands() === true) endings.onRequest();
        return { type: 'busy', seq };
      default:
        return answerForFiles(request).catch((error: unknown) => ({
          type: 'refused',
          seq,
          reason: error instanceof NoSnapshotError ? error.message : String(error),
        }));
    }
  };
}

type FilesRequest = Extract<Request, { type: 'look' | 'fetch' | 'stage' | 'lay' }>;

/** Answers what comes over one line about the workspace. */
function createFilesAnswers(
  socket: Socket,
  { calls, files }: Served,
  state: string,
): (request: FilesRequest) => Promise<Reply> {
  const staging = createStaging(state);
  socket.on('close', () => void staging.close().catch(() => undefined));

  return async (request) => {
    const { seq } = request;
    switch (request.type) {
      case 'look':
        return { type: 'look', seq, ...(await files.look(request.known)) };
      case 'fetch': {
        const contents = await files.fetch(request.pieces);
        return { type: 'content', seq, data: contents.map((content) => content.toString('base64')) };
      }
      case 'stage':
        await staging.write(request.pieces);
        return { type: 'done', seq };
      case 'lay': {
        const isLaid = await calls.prepare(() => files.lay(request.manifest, staging));
        await staging.clear();
        return isLaid
          ? { type: 'done', seq }
          : { type: 'refused', seq, reason: 'a call has run in it already' };
      }
    }
  };
}
