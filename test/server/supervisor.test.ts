/** The contract of `npm start`, with a real supervisor, and a real Temporal server where that is the engine; only the roles are fakes. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { eventually, isAlive } from '../support/process.ts';
import { engineOfRun } from '../support/server.ts';
import { FAKES, isHealthy, useSupervisors } from '../support/supervisor.ts';

const SLOW = { timeout: 90_000 };

const bed = useSupervisors();
const { start, untilReady, stop, pids, killAndAwait, ports } = bed;

describe('npm start', SLOW, () => {
  it('starts everything, says so in one line, and SIGTERM stops it all in order', async () => {
    const server = start({ DROVER_WORKERS: '2' });
    const url = await untilReady(server);
    const running = pids();

    const engine = engineOfRun() === 'temporal' ? ['temporal'] : [];
    expect(Object.keys(running).sort()).toEqual([
      'api',
      'proxy',
      'supervisor',
      ...engine,
      'worker',
      'worker-2',
    ]);
    expect(Object.values(running).filter((pid) => !isAlive(pid))).toEqual([]);
    expect(await isHealthy(url)).toBe(true);
    expect(server.stdout()).toBe(`drover ready: ${url}\n`);
    expect(readFileSync(join(bed.dataDir, 'logs', 'worker.log'), 'utf8')).toContain('hello from worker');
    expect(server.stderr()).not.toContain('everyday news');

    expect(await stop(server)).toBe(0);
    expect(Object.values(running).filter(isAlive)).toEqual([]);
    expect(pids()).toEqual({});
    const order = readFileSync(bed.journal, 'utf8').trim().split('\n');
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
    const before = ports();

    for (const role of ['worker', 'proxy', 'api']) await killAndAwait(role);

    await eventually('the API at its old port', async () => await isHealthy(url));
    expect(ports()).toBe(before);
    expect(server.stderr()).toContain('worker ended (SIGKILL); starting it again');
    expect(server.stdout()).toBe(`drover ready: ${url}\n`);
    const last = Object.values(pids());
    expect(await stop(server)).toBe(0);
    expect(last.filter(isAlive)).toEqual([]);
  });

  it('has its roles end by themselves when it is killed, and takes its addresses again at the next start', async () => {
    const first = start();
    await untilReady(first);
    const { supervisor: _, temporal: __, ...roles } = pids();
    const before = ports();

    first.child.kill('SIGKILL');
    expect(await first.ended).toBe('SIGKILL');
    await eventually('no role left', () => Object.values(roles).every((pid) => !isAlive(pid)));
    expect(readFileSync(bed.journal, 'utf8')).toContain('closed worker');

    const second = start();
    await untilReady(second);
    expect(ports()).toBe(before);
    expect(await stop(second)).toBe(0);
  });

  it('refuses a data dir that another server has, and leaves that server alone', async () => {
    const first = start();
    const url = await untilReady(first);
    const before = pids();

    const second = start();
    expect(await second.ended).toBe(1);
    expect(second.stderr()).toContain(
      `drover runs already on ${bed.dataDir} (process ${before['supervisor']})`,
    );
    expect(second.stdout()).toBe('');
    expect(pids()).toEqual(before);
    expect(await isHealthy(url)).toBe(true);
    await stop(first);
  });

  it('ends with the shell that npm put before it, which dies of a signal without passing it on', async () => {
    const shell = ['-c', `"${process.execPath}" "${FAKES}"; exit`];
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
    expect(running).toContain(worker);

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
    const file = join(bed.dataDir, 'run', 'secrets', 'database-url');
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
    const file = join(bed.dataDir, 'api-key');
    const key = readFileSync(file, 'utf8').trim();
    expect(key).toMatch(/^sk-drover-[\w-]{43}$/);
    expect(first.stderr()).toContain(key);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(bed.dataDir, 'run', 'secrets', 'proxy-token')).mode & 0o777).toBe(0o600);
    await stop(first);

    const second = start({ ANTHROPIC_BASE_URL: '' });
    await untilReady(second);
    expect(readFileSync(file, 'utf8').trim()).toBe(key);
    await stop(second);
  });
});
