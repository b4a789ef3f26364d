/**
 * A Postgres server of our own for tests and comparisons: a fresh cluster from the installed programs, on loopback,
 * gone after `stop`. Durable as it comes (fsync on), so that what is measured on it is what users get.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, chown, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { choosePorts } from '../src/supervisor/ports.ts';
import { isAlive } from './bench/processes.ts';

export interface PostgresServer {
  readonly port: number;
  readonly pid: number;
  readonly dataDir: string;
  /** Makes an empty database and answers its URL. */
  createDatabase(name?: string): Promise<string>;
  /** SIGKILL of the server and all that serves connections; `restart` recovers what was committed. */
  kill(): Promise<void>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const HOST = '127.0.0.1';
const USER = 'drover';
const READY = 'database system is ready to accept connections';
/** Debian keeps the server's programs out of PATH. */
const DEBIAN = '/usr/lib/postgresql';

/** Where the programs are, or undefined where none are installed. */
export async function findPostgres(): Promise<string | undefined> {
  const versions = await readdir(DEBIAN).catch(() => []);
  const newest = versions.sort((left, right) => Number(right) - Number(left));
  const folders = [
    ...newest.map((version) => join(DEBIAN, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(delimiter),
  ];
  for (const folder of folders) {
    const found = await access(join(folder, 'initdb')).then(
      () => true,
      () => false,
    );
    if (found) return folder;
  }
  return undefined;
}

/** Makes a cluster and starts it. `settings`: further lines of its configuration. */
export async function startPostgres(
  settings: Readonly<Record<string, string>> = {},
): Promise<PostgresServer> {
  const programs = await findPostgres();
  if (programs === undefined)
    throw new Error('no Postgres server is installed (Debian: apt-get install postgresql)');
  const folder = await mkdtemp(join(tmpdir(), 'drover-postgres-'));
  const dataDir = join(folder, 'data');
  // The server refuses to run as root.
  const user = process.getuid?.() === 0 ? await otherUser() : {};
  if (user.uid !== undefined) await chown(folder, user.uid, user.gid ?? user.uid);
  const options = { ...user, cwd: folder, env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' } };
  const made = spawn(
    join(programs, 'initdb'),
    ['--pgdata', dataDir, '--username', USER, '--auth', 'trust', '--encoding', 'UTF8', '--locale', 'C'],
    { ...options, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const [code] = (await once(made, 'exit')) as [number];
  if (code !== 0) throw new Error(`initdb ended with ${code}`);
  const { port } = await choosePorts(join(folder, 'ports.json'), ['port']);
  const all = {
    max_connections: '300',
    unix_socket_directories: folder,
    listen_addresses: HOST,
    ...settings,
  };
  const args = [
    '-D',
    dataDir,
    '-p',
    String(port),
    ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];

  let child: ChildProcess;
  const start = async (): Promise<void> => {
    const started = spawn(join(programs, 'postgres'), args, {
      ...options,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child = started;
    await new Promise<void>((resolve, reject) => {
      const said: string[] = [];
      createInterface({ input: started.stderr }).on('line', (line) => {
        if (said.length < 100) said.push(line);
        if (line.includes(READY)) resolve();
      });
      started.once('exit', (status) =>
        reject(new Error(`postgres ended with ${status}: ${said.join('\n')}`)),
      );
    });
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  };
  await start();
  return {
    port,
    get pid() {
      return child.pid ?? 0;
    },
    dataDir,
    async createDatabase(name = `drover_${crypto.randomUUID().replaceAll('-', '')}`) {
      const client = new Client({ host: HOST, port, user: USER, database: 'postgres' });
      await client.connect();
      try {
        await client.query(`create database ${client.escapeIdentifier(name)}`);
      } finally {
        await client.end();
      }
      return `postgres://${USER}@${HOST}:${port}/${name}`;
    },
    async kill() {
      // A process that serves a connection would see its master's end by itself, but not at once; and as long as there is
      // one, the next master does not start.
      child.kill('SIGSTOP');
      const serving = await childrenOf(child.pid ?? 0);
      await end('SIGKILL');
      for (const pid of serving) killQuietly(pid);
      while ((await Promise.all(serving.map(isAlive))).some(Boolean)) await sleep(5);
    },
    restart: start,
    async stop() {
      await end('SIGINT');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function otherUser(): Promise<{ uid?: number; gid?: number }> {
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const user = ['postgres', 'nobody'].map((name) => users.find(([other]) => other === name)).find(Boolean);
  if (!user) throw new Error('Postgres does not run as root, and there is no user "postgres" or "nobody"');
  return { uid: Number(user[2]), gid: Number(user[3]) };
}

async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')));
  // The fields after the command's name, which may hold spaces itself: state, then the parent.
  return pids
    .filter(
      (_, at) => Number(stats[at]?.slice((stats[at] ?? '').lastIndexOf(')') + 2).split(' ')[1]) === parent,
    )
    .map(Number);
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It was quicker.
  }
}
