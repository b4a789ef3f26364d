/** The line to a runner in a container: a small process in there that pipes its stdin and stdout to the socket. */
import type Dockerode from 'dockerode';
import { Duplex } from 'node:stream';
import { RUNNER_COMMAND } from '../runner/places.ts';

const MAX_WORDS = 2_000;

/** Starts the relay. It goes through the daemon's API alone, so the daemon may be on another machine. */
export async function openRelay(docker: Dockerode, containerId: string): Promise<Duplex> {
  const exec = await docker.getContainer(containerId).exec({
    Cmd: [...RUNNER_COMMAND, 'connect'],
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
  });
  const socket = await exec.start({ hijack: true, stdin: true, Tty: false });
  let lastWords = '';
  const relay = new Duplex({
    // What arrives is pushed as it comes: the protocol bounds it.
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, (error) => done(error ?? null)),
    final: (done) => void socket.end(() => done()),
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  const toRelay = { write: (chunk: Buffer) => relay.push(chunk) };
  const toLastWords = {
    write: (chunk: Buffer) => {
      lastWords = (lastWords + chunk.toString('utf8')).slice(-MAX_WORDS);
    },
  };
  // Docker frames the two outputs into one stream; the modem takes anything that can be written to.
  (docker.modem as Demuxer).demuxStream(socket, toRelay, toLastWords);
  const end = (error?: Error): void => {
    relay.destroy(error ?? new Error(lastWords.trim() || 'the relay in the container ended'));
  };
  socket.on('error', end);
  socket.on('end', () => end());
  socket.on('close', () => end());
  return withHold(relay, socket);
}

interface Demuxer {
  demuxStream(from: NodeJS.ReadableStream, output: Sink, errors: Sink): void;
}

interface Sink {
  write(chunk: Buffer): unknown;
}

/** Lets an idle line be no reason for the worker's process to stay, as with a plain socket. */
function withHold(relay: Duplex, socket: Duplex): Duplex {
  const held = socket as Duplex & { ref?: () => void; unref?: () => void };
  return Object.assign(relay, { ref: () => held.ref?.(), unref: () => held.unref?.() });
}
