/** One open byte stream to a runner, with the requests that are under way on it. */
import type { Duplex } from 'node:stream';
import type { ToolCall, ToolOutcome } from '../hands.ts';
import { NoSnapshotError } from '../snapshot.ts';
import {
  createLineSplitter,
  parseReply,
  PROTOCOL_VERSION,
  toLine,
  type Look,
  type Piece,
  type Reply,
  type Request,
  type StagedPiece,
} from './runner/protocol.ts';

/** The stream broke, or what came over it was not the protocol. Says nothing yet about the hand. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';
}

/**
 * The files of a hand, as its runner gives and takes them (`runner/protocol.ts`). What the runner refuses, also because
 * it is of a time before it could be asked, rejects with NoSnapshotError.
 */
export interface RemoteFiles {
  look(known: string | undefined): Promise<Look>;
  fetch(pieces: readonly Piece[]): Promise<readonly Buffer[]>;
  stage(pieces: readonly StagedPiece[]): Promise<void>;
  lay(manifest: string): Promise<void>;
}

/** An open stream. Every request rejects with ConnectionLostError when it breaks. */
export interface Connection {
  execute(call: ToolCall): Promise<ToolOutcome>;
  /** Resolves when the call is over, or was never running. */
  abort(id: string): Promise<void>;
  ping(): Promise<void>;
  /**
   * Asks the runner to begin no call for a short time, if it had none for `quietMs`; as long as this stream is open.
   * False when it does not promise that, also because it is of a time before this could be asked.
   */
  hold(quietMs: number): Promise<boolean>;
  /** Asks a runner that holds its calls to end. False when it no longer holds them; true when the stream has ended. */
  end(): Promise<boolean>;
  readonly files: RemoteFiles;
  /** Resolves when the stream has ended, whoever ended it. */
  readonly closed: Promise<void>;
  close(): void;
}

/** Outcomes are at most 100,000 characters, each six bytes when escaped; a hand that sends more is up to no good. */
const MAX_REPLY_BYTES = 16 * 1024 * 1024;
const GREETING_PATIENCE_MS = 20_000;
/** While something is under way: how often the runner is asked for a sign of life, and how long it may owe one. */
const PING_EVERY_MS = 5_000;
const SILENCE_MS = 45_000;

/** Of what a runner gives as the reason for a refusal. */
const LONGEST_REASON = 500;
const SOMETHING_ELSE = 'the runner in the sandbox answered something else';

type Greeting = Extract<Reply, { type: 'hello' }>;
type Ask = (toRequest: (seq: number) => Request) => Promise<Reply>;

interface Waiter {
  readonly settle: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

/** Waits for the runner's greeting. Rejects with ConnectionLostError when none comes. */
export async function createConnection(stream: Duplex): Promise<Connection> {
  const waiters = new Map<number, Waiter>();
  const greeted = Promise.withResolvers<Greeting>();
  const closed = Promise.withResolvers<void>();
  const split = createLineSplitter(MAX_REPLY_BYTES);
  let lastSeq = 0;
  let heardAtMs = performance.now();
  let lost: ConnectionLostError | undefined;

  const lose = (why: string): void => {
    if (lost !== undefined) return;
    lost = new ConnectionLostError(why);
    clearInterval(pulse);
    stream.destroy();
    greeted.reject(lost);
    for (const waiter of waiters.values()) waiter.reject(lost);
    waiters.clear();
    closed.resolve();
  };
  const receive = (line: string): void => {
    const reply = parseReply(line);
    if (reply === undefined) return lose('the runner in the sandbox sent something that is no reply');
    if (reply.type === 'hello') {
      if (reply.protocol === PROTOCOL_VERSION) greeted.resolve(reply);
      else
        lose(
          `the runner in the sandbox speaks version ${reply.protocol} of the protocol, not ${PROTOCOL_VERSION}`,
        );
      return;
    }
    waiters.get(reply.seq)?.settle(reply);
    waiters.delete(reply.seq);
    holdOpen();
  };
  /** An idle line must not keep the worker's process alive. */
  const holdOpen = (): void => {
    const socket = stream as Duplex & { ref?: () => void; unref?: () => void };
    if (waiters.size > 0) socket.ref?.();
    else socket.unref?.();
  };
  const ask: Ask = (toRequest) => {
    if (lost !== undefined) return Promise.reject(lost);
    lastSeq += 1;
    const seq = lastSeq;
    return new Promise((settle, reject) => {
      waiters.set(seq, { settle, reject });
      holdOpen();
      stream.write(toLine(toRequest(seq)));
    });
  };
  const pulse = setInterval(() => {
    if (waiters.size === 0) {
      heardAtMs = performance.now();
      return;
    }
    if (performance.now() - heardAtMs > SILENCE_MS) lose('the runner in the sandbox no longer answers');
    else ask((seq) => ({ type: 'ping', seq })).catch(() => undefined);
  }, PING_EVERY_MS).unref();

  stream.on('data', (chunk: Buffer) => {
    heardAtMs = performance.now();
    try {
      for (const line of split(chunk)) receive(line);
    } catch (error) {
      lose(`the runner in the sandbox misbehaves: ${String(error)}`);
    }
  });
  stream.on('error', (error) => lose(`the line to the sandbox broke: ${error.message}`));
  stream.on('end', () => lose('the line to the sandbox ended'));
  stream.on('close', () => lose('the line to the sandbox was closed'));
  if (stream.destroyed) lose('the line to the sandbox broke before it was used');

  const patience = setTimeout(() => lose('the runner in the sandbox did not answer'), GREETING_PATIENCE_MS);
  const greeting = await greeted.promise.finally(() => clearTimeout(patience));
  holdOpen();
  return { ...toRequests(ask, greeting), closed: closed.promise, close: () => lose('closed by the worker') };
}

/** What a runner that has greeted is asked for. */
function toRequests(ask: Ask, { holds, files }: Greeting): Omit<Connection, 'closed' | 'close'> {
  return {
    files: toFilesRequests(files === true ? ask : refuseAll),
    async execute(call) {
      const reply = await ask((seq) => ({ type: 'execute', seq, call }));
      if (reply.type === 'outcome') return reply.outcome;
      throw new ConnectionLostError(SOMETHING_ELSE);
    },
    async abort(id) {
      await ask((seq) => ({ type: 'abort', seq, id }));
    },
    async ping() {
      await ask((seq) => ({ type: 'ping', seq }));
    },
    // An older runner would drop the line on a request that it does not know.
    hold: async (quietMs) =>
      holds === true && (await ask((seq) => ({ type: 'hold', seq, quietMs }))).type === 'held',
    end: () =>
      ask((seq) => ({ type: 'end', seq })).then(
        () => false,
        () => true,
      ),
  };
}

const refuseAll: Ask = () =>
  Promise.reject(
    new NoSnapshotError('the sandbox was started by a version of Drover that took no snapshots'),
  );

function toFilesRequests(ask: Ask): RemoteFiles {
  const granted = async (toRequest: (seq: number) => Request): Promise<Reply> => {
    const reply = await ask(toRequest);
    if (reply.type === 'refused') throw new NoSnapshotError(reply.reason.slice(0, LONGEST_REASON));
    return reply;
  };
  return {
    async look(known) {
      const reply = await granted((seq) => ({ type: 'look', seq, ...(known !== undefined && { known }) }));
      if (reply.type === 'look') return reply;
      throw new ConnectionLostError(SOMETHING_ELSE);
    },
    async fetch(pieces) {
      const reply = await granted((seq) => ({ type: 'fetch', seq, pieces }));
      if (reply.type === 'content') return reply.data.map((data) => Buffer.from(data, 'base64'));
      throw new ConnectionLostError(SOMETHING_ELSE);
    },
    async stage(pieces) {
      await granted((seq) => ({ type: 'stage', seq, pieces }));
    },
    async lay(manifest) {
      await granted((seq) => ({ type: 'lay', seq, manifest }));
    },
  };
}
