/** A whole server as a child process, for the demo and the benchmarks: started like a user would, stopped like one. */
import Anthropic from '@anthropic-ai/sdk';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface Server {
  readonly url: string;
  readonly apiKey: string;
  readonly dataDir: string;
  /** The process that has a role now. */
  pid(role: string): Promise<number>;
  port(role: 'temporal' | 'temporalUi' | 'proxy' | 'model'): Promise<number>;
  /** `leave`: there are no sandboxes, so the sessions need not be deleted one by one. */
  stop(sessions?: 'delete' | 'leave'): Promise<void>;
}

const ENTRY = fileURLToPath(new URL('../src/cli.ts', import.meta.url));

/**
 * Starts a server on a data dir of its own, which is gone after `stop`.
 *
 * @param onLine gets what the server says to people; else it is shown
 */
export async function startServer(
  env: NodeJS.ProcessEnv = {},
  onLine?: (line: string) => void,
): Promise<Server> {
  const dataDir = await mkdtemp(join(tmpdir(), 'drover-'));
  const apiKey = 'sk-drover-local';
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ENTRY, 'start'], {
    env: { ...process.env, PORT: '0', DROVER_DATA_DIR: dataDir, DROVER_API_KEY: apiKey, ...env },
    stdio: ['ignore', 'pipe', onLine ? 'pipe' : 'inherit'],
  });
  const { stdout: out } = child;
  if (out === null) throw new Error('the server has no stdout');
  let lastLine = '';
  if (onLine && child.stderr)
    createInterface({ input: child.stderr }).on('line', (line) => {
      lastLine = line;
      onLine(line);
    });
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const url = await new Promise<string>((resolve, reject) => {
    child.once('close', (code) =>
      reject(new Error([`the server ended with exit code ${code}`, lastLine].filter(Boolean).join(': '))),
    );
    createInterface({ input: out }).on('line', (line) => {
      const ready = /^drover ready: (\S+)$/.exec(line)?.[1];
      if (ready) resolve(ready);
    });
  }).catch(async (error: unknown) => {
    await rm(dataDir, { recursive: true, force: true });
    throw error;
  });
  return {
    url,
    apiKey,
    dataDir,
    pid: async (role) => Number(await readFile(join(dataDir, 'run', `${role}.pid`), 'utf8')),
    async port(role) {
      const ports = JSON.parse(await readFile(join(dataDir, 'run', 'ports.json'), 'utf8')) as Record<
        string,
        number
      >;
      const port = ports[role];
      if (port === undefined) throw new Error(`no port is known for ${role}`);
      return port;
    },
    async stop(sessions = 'delete') {
      if (sessions === 'delete') await deleteSessions(url, apiKey);
      child.kill('SIGTERM');
      await exited;
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** Sandboxes outlive a server, so that its next start finds them; here there is no next one. */
async function deleteSessions(url: string, apiKey: string): Promise<void> {
  const client = new Anthropic({ apiKey, baseURL: url });
  for await (const { id, status } of client.beta.sessions.list({ include_archived: true })) {
    if (status !== 'running') await client.beta.sessions.delete(id);
  }
}
