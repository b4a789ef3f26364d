/** A whole server as a child process, and the ways to hurt it. */
import Anthropic from '@anthropic-ai/sdk';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect } from 'vitest';
import { createBubblewrapHands } from '../../src/hands/bubblewrap.ts';
import { isBusy } from '../../src/records/node-sqlite.ts';
import { readPid } from '../../src/supervisor/pid-file.ts';
import { eventually, isAlive, run, type Running } from './process.ts';
import { engineOfRun } from './server.ts';

/** The names of pid files. */
export type RoleName = 'api' | 'worker' | 'worker-2' | 'proxy' | 'model' | 'temporal' | 'supervisor';

export interface Ports {
  readonly model: number;
  readonly proxy: number;
}

/** A process that was killed: which, and when. */
export interface Killed {
  readonly role: RoleName;
  readonly pid: number;
  readonly atMs: number;
}

export interface CrashServer {
  readonly url: string;
  readonly dataDir: string;
  readonly apiKey: string;
  /** The official client; it does not retry, so that a test sees what the server did. */
  readonly api: Anthropic;
  readonly supervisor: Running;
  readonly ports: Ports;
  /** What keeps its sessions. */
  readonly engine: 'temporal' | 'log';
  /** Of the Temporal server that it uses, embedded or not. */
  readonly temporalAddress: string | undefined;
  /** Of its Postgres; without one it keeps everything in SQLite. */
  readonly databaseUrl: string | undefined;
  pid(role: RoleName): Promise<number>;
  /** Sends SIGKILL. */
  kill(role: RoleName): Promise<Killed>;
  /** Waits until another process has the role. */
  back(killed: Killed): Promise<number>;
  /** Kills a role and lets nobody start it again before `use` is over; then waits until it is back. */
  without<T>(role: RoleName, use: () => Promise<T>): Promise<T>;
  /** SIGTERM and the end of everything; the data dir stays. */
  stop(): Promise<void>;
  /** SIGKILL of the supervisor and all roles at once. */
  killAll(): Promise<void>;
}

/** Longer than a process may be silent until another one takes over what it had under way. */
export const SILENT_MS = engineOfRun() === 'log' ? 2500 : 4500;

/** What a killed worker had under way goes on within this time. */
export const RECOVERED_WITHIN_MS = engineOfRun() === 'log' ? 6000 : 10_000;

const READY = /^drover ready: (?<url>\S+)$/m;
const READY_WITHIN_MS = 90_000;
const STOPPED_WITHIN_MS = 20_000;
const ROLES: readonly RoleName[] = ['api', 'worker', 'worker-2', 'proxy', 'model', 'temporal'];

/** Makes a data dir; `cleanUp` removes it. */
export async function makeDataDir(): Promise<string> {
  return await mkdtemp(join(tmpdir(), 'drover-crash-'));
}

/** Starts `drover start` on the data dir and waits until it is ready. `entry`: of another copy of the sources. */
export async function startCrashServer(
  dataDir: string,
  env: Readonly<Record<string, string>> = {},
  entry = 'src/cli.ts',
): Promise<CrashServer> {
  const engine = engineOfRun();
  const settings = {
    PORT: '0',
    DROVER_ENGINE: engine,
    DROVER_DATA_DIR: dataDir,
    DROVER_SANDBOX: 'bubblewrap',
    ...env,
  };
  const supervisor = run(['--disable-warning=ExperimentalWarning', entry, 'start'], settings);
  const ready = eventually('ready', () => READY.exec(supervisor.stdout())?.groups?.['url'], READY_WITHIN_MS);
  const early = supervisor.ended.then((code) => {
    throw new Error(`the server ended (${code}) before it was ready: ${supervisor.stderr()}`);
  });
  early.catch(() => undefined);
  const url = await Promise.race([ready, early]);
  const apiKey = env['DROVER_API_KEY'] ?? (await readFile(join(dataDir, 'api-key'), 'utf8')).trim();
  const file = await readFile(join(dataDir, 'run', 'ports.json'), 'utf8');
  const ports = JSON.parse(file) as Ports & { readonly temporal?: number };

  const pid = async (role: RoleName): Promise<number> => {
    const found = await readPid(join(dataDir, 'run'), role);
    if (found === undefined) throw new Error(`${role} has no pid file`);
    return found;
  };
  const kill = async (role: RoleName): Promise<Killed> => {
    const victim = await pid(role);
    process.kill(victim, 'SIGKILL');
    return { role, pid: victim, atMs: Date.now() };
  };
  const back = async ({ role, pid: old }: Killed): Promise<number> =>
    await eventually(
      `another ${role}`,
      async () => {
        const now = await readPid(join(dataDir, 'run'), role);
        return now !== undefined && now !== old && isAlive(now) ? now : undefined;
      },
      30_000,
    );
  return {
    url,
    dataDir,
    apiKey,
    api: new Anthropic({ baseURL: url, apiKey, maxRetries: 0 }),
    supervisor,
    ports,
    engine,
    temporalAddress:
      engine === 'temporal' ? (env['TEMPORAL_ADDRESS'] ?? `127.0.0.1:${ports.temporal}`) : undefined,
    databaseUrl: env['DATABASE_URL'],
    pid,
    kill,
    back,
    async without(role, use) {
      const starter = await pid('supervisor');
      process.kill(starter, 'SIGSTOP');
      try {
        const killed = await kill(role);
        await eventually(`the ${role} to be gone`, () => !isAlive(killed.pid));
        const result = await use();
        process.kill(starter, 'SIGCONT');
        await back(killed);
        return result;
      } finally {
        process.kill(starter, 'SIGCONT');
      }
    },
    async stop() {
      const pids = await rolePids(dataDir);
      supervisor.child.kill('SIGTERM');
      const started = Date.now();
      await supervisor.ended;
      expect(Date.now() - started).toBeLessThan(STOPPED_WITHIN_MS);
      expect(pids.filter(isAlive)).toEqual([]);
    },
    async killAll() {
      const pids = [await pid('supervisor'), ...(await rolePids(dataDir))];
      for (const one of pids) killQuietly(one);
      await supervisor.ended;
      await eventually('all gone', () => !pids.some(isAlive));
    },
  };
}

/**
 * Stops a process for the time of `use`, as a machine would that has something else to do. Not in the middle of a
 * write to the database: its lock would stop all others, too, and is a test of its own.
 */
export async function hang<T>(
  server: Pick<CrashServer, 'dataDir' | 'databaseUrl' | 'pid'>,
  role: RoleName,
  use: () => Promise<T>,
): Promise<T> {
  const pid = await server.pid(role);
  const path = join(server.dataDir, 'drover.db');
  try {
    await eventually('a moment at which the database is free', () => {
      process.kill(pid, 'SIGSTOP');
      if (server.databaseUrl !== undefined || canWrite(path)) return true;
      process.kill(pid, 'SIGCONT');
      return false;
    });
    return await use();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

function canWrite(path: string): boolean {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec('begin immediate; rollback');
    return true;
  } catch (error) {
    if (isBusy(error)) return false;
    throw error;
  } finally {
    database.close();
  }
}

/** Ends whatever still runs on the data dir, sandboxes too, and removes it. */
export async function cleanUp(dataDir: string, server?: CrashServer): Promise<void> {
  const ended = server?.supervisor.child;
  const isUp = ended !== undefined && ended.exitCode === null && ended.signalCode === null;
  try {
    if (isUp) await server?.stop();
  } finally {
    if (isUp) ended.kill('SIGKILL');
    for (const pid of await rolePids(dataDir)) killQuietly(pid);
    const hands = createBubblewrapHands({ dataDir, nodePath: process.execPath });
    for (const { hand } of await hands.list()) await hands.release(hand);
    await eventually('nothing to run', async () => (await processesOf(dataDir)).length === 0);
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** The command lines of all processes that name the data dir. */
export async function processesOf(dataDir: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const line = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(dataDir)) found.push(`${name} ${line.replaceAll('\0', ' ')}`);
  }
  return found;
}

/** Kills a process; one that is gone is fine. */
export function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It was quicker.
  }
}

/** Pids of roles that run: a pid file may name a process that is long gone, whose number somebody else has now. */
async function rolePids(dataDir: string): Promise<number[]> {
  const lines = await processesOf(dataDir);
  const ours = new Set(lines.map((line) => Number(line.split(' ', 1)[0])));
  const pids = await Promise.all(ROLES.map((role) => readPid(join(dataDir, 'run'), role)));
  return pids.filter((pid) => pid !== undefined).filter((pid) => ours.has(pid));
}
