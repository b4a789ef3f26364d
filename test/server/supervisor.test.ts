/** The contract of `npm start`, with a real supervisor and a real Temporal server; only the roles are fakes. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectTemporal } from '../../src/temporal-server/connection.ts';
import { eventually, isAlive, run, type Running } from '../support/process.ts';

const SCRIPT = fileURLToPath(new URL('../support/fake-start.ts', import.meta.url));
const SLOW = { timeout: 90_000 };

let dataDir: string;
let journal: string;
let started: Running[];
let seen: Set<number>;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'drover-supervisor-'));
  journal = join(dataDir, 'journal');
  started = [];
  seen = new Set();
});

afterEach(async () => {
  for (const one of started) one.child.kill('SIGKILL');
  await Promise.all(started.map((one) => one.ended));
  for (const pid of [...seen, ...Object.values(pids())]) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  rmSync(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}, 30_000);

function start(env: Record<string, string> = {}, [args, program]: [string[], string?] = [[SCRIPT]]): Running {
  const settings = {
    PORT: '0',
    DROVER_DATA_DIR: dataDir,
    DROVER_FAKE_JOURNAL: journal,
    ANTHROPIC_BASE_URL: 'http://127.0.0.1:9',
    ...env,
  };
  const running = run(args, settings, program);
  started.push(running);
  return running;
}

async function untilReady(running: Running): Promise<string> {
  const early = running.ended.then((how) => {
    throw new Error(`ended early (${how}): ${running.stderr()}`);
  });
  const url = eventually(
    'the ready line',
    () => /^drover ready: (\S+)\n/m.exec(running.stdout())?.[1],
    60_000,
  );
  const found = await Promise.race([url, early]);
  for (const pid of Object.values(pids())) seen.add(pid);
  return found;
}

/** What the pid files say, by role. */
function pids(): Record<string, number> {
  const folder = join(dataDir, 'run');
  if (!existsSync(folder)) return {};
  const files = readdirSync(folder).filter((file) => file.endsWith('.pid'));
  return Object.fromEntries(
    files.map((file) => [file.slice(0, -4), Number(readFileSync(join(folder, file), 'utf8'))]),
  );
}

async function stop(running: Running): Promise<number | string> {
  running.child.kill('SIGTERM');
  return await running.ended;
}

/** The pid of a role after it was killed and came back. */
async function killAndAwait(role: string): Promise<number> {
  const before = pids()[role] ?? 0;
  process.kill(before, 'SIGKILL');
  const after = await eventually(`another ${role}`, () => {
    const now = pids()[role];
    return now !== undefined && now !== before && isAlive(now) ? now : undefined;
  });
  seen.add(after);
  return after;
}

async function isHealthy(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/healthz`).catch(() => undefined);
  return answer?.status === 200;
}

describe('npm start', SLOW, () => {
  it('starts everything, says so in one line, and SIGTERM stops it all in order', async () => {
    const server = start({ DROVER_WORKERS: '2' });
    const url = await untilReady(server);
    const running = pids();

    expect(Object.keys(running).sort()).toEqual([
      'api',
      'proxy',
      'supervisor',
      'temporal',
      'worker',
      'worker-2',
    ]);
    expect(Object.values(running).filter((pid) => !isAlive(pid))).toEqual([]);
    expect(await isHealthy(url)).toBe(true);
    expect(server.stdout()).toBe(`drover ready: ${url}\n`);
    expect(readFileSync(join(dataDir, 'logs', 'worker.log'), 'utf8')).toContain('hello from worker');
    expect(server.stderr()).not.toContain('everyday news');

    expect(await stop(server)).toBe(0);
    expect(Object.values(running).filter(isAlive)).toEqual([]);
    expect(pids()).toEqual({});
    const order = readFileSync(journal, 'utf8').trim().split('\n');
    expect(order).toEqual([
      'ready proxy',
      'ready worker',
      'ready worker',
      'ready api',
      'closed api',
      'closed worker',
      'closed worker',
      'closed proxy',
    ]);
  });

  it('starts again what dies, rewrites its pid, and keeps every address', async () => {
    const server = start();
    const url = await untilReady(server);
    const ports = readFileSync(join(dataDir, 'run', 'ports.json'), 'utf8');

    for (const role of ['worker', 'proxy', 'temporal', 'api']) await killAndAwait(role);

    await eventually('the API at its old port', async () => await isHealthy(url));
    const { temporal } = JSON.parse(ports) as { temporal: number };
    const connection = await connectTemporal(`127.0.0.1:${temporal}`);
    await connection.workflowService.describeNamespace({ namespace: 'drover' });
    await connection.close();
    expect(readFileSync(join(dataDir, 'run', 'ports.json'), 'utf8')).toBe(ports);
    expect(server.stderr()).toContain('worker ended (SIGKILL); starting it again');
    expect(server.stdout()).toBe(`drover ready: ${url}\n`);
    const last = Object.values(pids());
    expect(await stop(server)).toBe(0);
    expect(last.filter(isAlive)).toEqual([]);
  });

  it('has its roles end by themselves when it is killed, and clears up the rest at the next start', async () => {
    const first = start();
    await untilReady(first);
    const { supervisor: _, temporal = 0, ...roles } = pids();
    const ports = readFileSync(join(dataDir, 'run', 'ports.json'), 'utf8');

    first.child.kill('SIGKILL');
    expect(await first.ended).toBe('SIGKILL');
    await eventually('no role left', () => Object.values(roles).every((pid) => !isAlive(pid)));
    expect(readFileSync(journal, 'utf8')).toContain('closed worker');
    expect(isAlive(temporal)).toBe(true);

    const second = start();
    await untilReady(second);
    expect(isAlive(temporal)).toBe(false);
    expect(second.stderr()).toContain('stopped what an earlier start had left: temporal');
    expect(readFileSync(join(dataDir, 'run', 'ports.json'), 'utf8')).toBe(ports);
    expect(await stop(second)).toBe(0);
  });

  it('refuses a data dir that another server has, and leaves that server alone', async () => {
    const first = start();
    const url = await untilReady(first);
    const before = pids();

    const second = start();
    expect(await second.ended).toBe(1);
    expect(second.stderr()).toContain(`drover runs already on ${dataDir} (process ${before['supervisor']})`);
    expect(second.stdout()).toBe('');
    expect(pids()).toEqual(before);
    expect(await isHealthy(url)).toBe(true);
    await stop(first);
  });

  it('ends with the shell that npm put before it, which dies of a signal without passing it on', async () => {
    const shell = ['-c', `"${process.execPath}" "${SCRIPT}"; exit`];
    const server = start({ npm_lifecycle_event: 'start' }, [shell, 'sh']);
    await untilReady(server);
    const running = Object.values(pids());
    expect(running).not.toContain(server.child.pid);

    server.child.kill('SIGTERM');
    await eventually('nothing left', () => running.every((pid) => !isAlive(pid)));
    expect(pids()).toEqual({});
  });

  it('stops what it had started when it is told to stop half-way', async () => {
    const server = start({ DROVER_FAKE_SLOW: 'worker' });
    const worker = await eventually('the worker', () => pids()['worker'], 30_000);
    const running = Object.values(pids());
    seen.add(worker);

    expect(await stop(server)).toBe(0);
    expect(running.filter(isAlive)).toEqual([]);
    expect(server.stdout()).toBe('');
  });

  it('fails, and leaves nothing, when a role cannot start', async () => {
    const server = start({ DROVER_FAKE_BROKEN: 'proxy' });
    expect(await server.ended).toBe(1);
    expect(server.stderr()).toContain('proxy is broken on purpose');
    expect(server.stderr()).toContain('proxy does not start: exit code 2');
    expect(pids()).toEqual({});
  });

  it('says so when its port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    try {
      const server = start({ PORT: String(port) });
      expect(await server.ended).toBe(1);
      expect(server.stderr()).toContain(`port ${port} is taken`);
    } finally {
      other.close();
    }
  });
});

describe('secrets', SLOW, () => {
  /** What a role's environment says of the database. */
  function told(role: string): string[] {
    const environment = readFileSync(`/proc/${pids()[role]}/environ`, 'utf8').split('\0');
    return environment.filter((one) => /^(DATABASE_URL|DROVER_BUS)/.test(one));
  }

  it.runIf(process.platform === 'linux')('shows each process only the secrets that are its own', async () => {
    const canaries = {
      ANTHROPIC_API_KEY: 'canary-upstream',
      DROVER_API_KEY: 'canary-own',
      DATABASE_URL: 'postgres://me:canary-database@127.0.0.1:9/x',
      AWS_SECRET_ACCESS_KEY: 'canary-stranger',
      HTTPS_PROXY: 'http://canary-way-out:pw@127.0.0.1:9',
    };
    const file = join(dataDir, 'run', 'secrets', 'database-url');
    const server = start(canaries);
    await untilReady(server);
    expect(readFileSync(file, 'utf8').trim()).toBe(canaries.DATABASE_URL);
    expect(statSync(file).mode & 0o777).toBe(0o600);

    const { supervisor: _, ...roles } = pids();
    const found = Object.entries(roles).flatMap(([role, pid]) =>
      Object.values(canaries)
        .filter((canary) =>
          ['environ', 'cmdline'].some((file) =>
            readFileSync(`/proc/${pid}/${file}`, 'utf8').includes(canary),
          ),
        )
        .map((canary) => `${role}: ${canary}`),
    );
    expect(found.sort()).toEqual([
      'api: canary-own',
      'proxy: canary-upstream',
      'proxy: http://canary-way-out:pw@127.0.0.1:9',
    ]);
    expect(server.stderr()).not.toContain('canary');
    expect(told('worker')).toEqual([`DATABASE_URL_FILE=${file}`]);
    expect(told('api')).toEqual([`DATABASE_URL_FILE=${file}`]);
    expect(told('proxy')).toEqual([]);
    await stop(server);
    expect(existsSync(file)).toBe(false);
  });

  it('makes an API key once, keeps it to itself, and announces the scripted model', async () => {
    const first = start({ ANTHROPIC_BASE_URL: '' });
    await untilReady(first);
    expect(Object.keys(pids())).toContain('model');
    expect(first.stderr()).toContain("using the bundled scripted model, answers are not Claude's");
    const file = join(dataDir, 'api-key');
    const key = readFileSync(file, 'utf8').trim();
    expect(key).toMatch(/^sk-drover-[\w-]{43}$/);
    expect(first.stderr()).toContain(key);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(dataDir, 'run', 'secrets', 'proxy-token')).mode & 0o777).toBe(0o600);
    await stop(first);

    const second = start({ ANTHROPIC_BASE_URL: '' });
    await untilReady(second);
    expect(readFileSync(file, 'utf8').trim()).toBe(key);
    await stop(second);
  });
});
