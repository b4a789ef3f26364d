/**
 * The process inside a hand. `serve` carries out tool calls for whoever connects to its socket; `connect` pipes its
 * own stdin and stdout to that socket, for workers that can start a process in the hand but see none of its files.
 * Needs Node and its own payload, nothing else: see `hands/payload.ts`.
 */
import { connect as connectSocket, type Socket } from 'node:net';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { SOCKET_NAME, STATE_FOLDER } from './runner/places.ts';

const USAGE =
  'usage: runner.ts serve|connect [--state DIR] [--workdir DIR] [--session DIR] [--tmp DIR] [--alone]\n';
/** How long `connect` waits for a runner that is still starting. */
const CONNECT_PATIENCE_MS = 15_000;
const CONNECT_PAUSE_MS = 10;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    state: { type: 'string', default: STATE_FOLDER },
    workdir: { type: 'string', default: '/workspace' },
    session: { type: 'string', default: '/mnt/session' },
    tmp: { type: 'string', default: '/tmp' },
    alone: { type: 'boolean', default: false },
  },
});

if (positionals[0] === 'serve') {
  // Imported late: the relay has to start quickly, and needs none of the SDK.
  const { serve } = await import('./runner/serve.ts');
  await serve({ ...values, path: process.env['PATH'] ?? '/usr/bin:/bin' });
} else if (positionals[0] === 'connect') {
  await relay(`${values.state}/${SOCKET_NAME}`);
} else {
  process.stderr.write(USAGE);
  process.exitCode = 64;
}

async function relay(socketPath: string): Promise<void> {
  const socket = await openSocket(socketPath);
  socket.on('close', () => process.exit(0));
  for (const stream of [process.stdin, process.stdout]) stream.on('error', () => process.exit(0));
  process.stdin.pipe(socket).pipe(process.stdout);
}

async function openSocket(socketPath: string): Promise<Socket> {
  const deadlineMs = performance.now() + CONNECT_PATIENCE_MS;
  for (;;) {
    const socket = connectSocket(socketPath);
    const trouble = await new Promise<Error | undefined>((resolve) => {
      socket.once('connect', () => resolve(undefined));
      socket.once('error', resolve);
    });
    if (trouble === undefined) return socket;
    if (performance.now() > deadlineMs) throw trouble;
    await sleep(CONNECT_PAUSE_MS);
  }
}
