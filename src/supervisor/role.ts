/** The child's side of the supervisor: how a role says that it is ready, and how it ends. */
import process from 'node:process';
import type { ReadyInfo } from './child.ts';

/** A role at work. `info` is told to the supervisor, for example the port that was bound. */
export interface Role {
  readonly info?: ReadyInfo;
  /** Finishes what is under way and frees everything. */
  close(): Promise<void>;
}

const DRAIN_WITHIN_MS = 13_000;

/**
 * Runs a role to its end: until SIGTERM or SIGINT, or until the supervisor is gone, however it went. The role then
 * closes, within bounds, and the process exits. Also works without a supervisor (containers).
 *
 * @param start may give up when its signal aborts; otherwise it is waited for, so that what it made can be freed
 */
export async function serveRole(name: string, start: (signal: AbortSignal) => Promise<Role>): Promise<void> {
  ignoreBrokenPipes();
  const stopping = new AbortController();
  const told = new Promise<void>((resolve) => {
    stopping.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const stop = () => {
    stopping.abort();
    setTimeout(() => process.exit(1), DRAIN_WITHIN_MS).unref();
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, stop);
  process.once('disconnect', stop);
  try {
    const role = await start(stopping.signal);
    tellReady(name, role.info ?? {});
    await told;
    await role.close();
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  }
  process.exit(0);
}

function tellReady(name: string, info: ReadyInfo): void {
  if (process.send === undefined) process.stderr.write(`drover ${name}: ready ${JSON.stringify(info)}\n`);
  else if (process.connected) process.send({ ...info, ready: true });
}

/** For a process that must end in order although who read its output is gone. */
export function ignoreBrokenPipes(): void {
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
}
