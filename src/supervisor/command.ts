/** `drover start`: the supervisor as a process, from its signals to its last line. */
import process from 'node:process';
import { readConfig } from '../config.ts';
import { ignoreBrokenPipes } from './role.ts';
import { startServer, type RunningServer } from './start.ts';

const PARENT_POLL_MS = 250;

/**
 * Runs a server until a signal. Stdout gets exactly one line, when the server is ready: tools wait for it. Everything
 * for people goes to stderr.
 */
export async function runStart(env: NodeJS.ProcessEnv, entry: string): Promise<void> {
  ignoreBrokenPipes();
  const config = readConfig(env);
  const log = (line: string) => void process.stderr.write(`drover: ${line}\n`);
  const stopping = new AbortController();
  const stopped = new Promise<void>((resolve) => {
    stopping.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => stopping.abort());
  if (env['npm_lifecycle_event'] !== undefined) whenParentEnds(() => stopping.abort());
  let server: RunningServer;
  try {
    server = await startServer(config, { entry, env, log, signal: stopping.signal });
  } catch (error) {
    if (stopping.signal.aborted) return;
    throw error;
  }
  process.stdout.write(`drover ready: ${server.url}\n`);
  await stopped;
  log('stopping');
  await server.stop();
}

/**
 * npm runs a script in a shell and passes signals to that shell alone, which dies of them without a word to us. Its
 * end is then the only sign; without npm, a parent that ends says nothing (`nohup`, a daemon's start script).
 */
function whenParentEnds(callback: () => void): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    callback();
  }, PARENT_POLL_MS);
  timer.unref();
}
