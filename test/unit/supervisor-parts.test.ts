import * as fc from 'fast-check';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { orAborted } from '../../src/supervisor/abort.ts';
import type { Command } from '../../src/supervisor/child.ts';
import { roleEnvironment, type RoleKind } from '../../src/supervisor/environment.ts';
import { tryLock } from '../../src/supervisor/lock.ts';
import { openLogFile, splitLines } from '../../src/supervisor/log-file.ts';
import { toLogLine, toTerminalLine } from '../../src/supervisor/output.ts';
import { isOurs, readPid, stopLeftover, stopLeftovers, writePid } from '../../src/supervisor/pid-file.ts';
import { keepRunning, type KeptProcess, type ProcessSpec } from '../../src/supervisor/process.ts';
import { restartDelayMs } from '../../src/supervisor/restart.ts';
import { ensureSecretFile, writeSecretFile } from '../../src/supervisor/secret-file.ts';
import { eventually, isAlive } from '../support/process.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drover-parts-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('restartDelayMs', () => {
  it('starts again at once after a first death, then ever later, within a bound', () => {
    expect([1, 2, 3, 4].map(restartDelayMs)).toEqual([0, 250, 500, 1000]);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000 }), (failures) => {
        const delay = restartDelayMs(failures);
        expect(delay).toBeLessThanOrEqual(10_000);
        expect(restartDelayMs(failures + 1)).toBeGreaterThanOrEqual(delay);
      }),
    );
  });
});

describe('roleEnvironment', () => {
  const base = {
    PATH: '/bin',
    HOME: '/home/me',
    ANTHROPIC_API_KEY: 'secret',
    ANTHROPIC_BASE_URL: 'secret',
    DATABASE_URL: 'secret',
    DROVER_API_KEY: 'secret',
    DROVER_SOME_TOKEN: 'secret',
    AWS_SECRET_ACCESS_KEY: 'secret',
    SOMETHING_NEW: 'secret',
    DROVER_PROVISION: 'lazy',
    DROCKER_HOST: 'no',
    DOCKER_HOST: 'unix:///run/docker.sock',
    https_proxy: 'http://way.out',
  };
  const kinds: readonly RoleKind[] = ['api', 'worker', 'proxy', 'model', 'temporal'];

  it.each(kinds)('keeps every secret from %s unless it is given explicitly', (kind) => {
    expect(Object.values(roleEnvironment(kind, base))).not.toContain('secret');
    expect(roleEnvironment(kind, base, { DROVER_API_KEY: 'given' })['DROVER_API_KEY']).toBe('given');
  });

  it('passes what a role needs of the system, and our own settings', () => {
    expect(roleEnvironment('worker', base)).toEqual({
      PATH: '/bin',
      HOME: '/home/me',
      DROVER_PROVISION: 'lazy',
      DOCKER_HOST: 'unix:///run/docker.sock',
    });
    expect(Object.keys(roleEnvironment('proxy', base))).toContain('https_proxy');
    expect(roleEnvironment('temporal', base)).toEqual({ PATH: '/bin', HOME: '/home/me' });
  });

  it('hides what is set to undefined', () => {
    expect(roleEnvironment('api', base, { DROVER_PROVISION: undefined })).not.toHaveProperty(
      'DROVER_PROVISION',
    );
  });
});

describe('output of roles', () => {
  const entry = (level: string) =>
    JSON.stringify({ time: 't', level, role: 'api', message: 'it is late', hour: 3 });

  it('shows trouble and hides everyday news', () => {
    expect(toTerminalLine('api', entry('info'))).toBeUndefined();
    expect(toTerminalLine('api', entry('warn'))).toBe('[api] warn: it is late {"hour":3}');
    expect(toTerminalLine('worker-2', 'Error: no')).toBe('[worker-2] Error: no');
    expect(toTerminalLine('api', '{"half": ')).toBe('[api] {"half": ');
    expect(toTerminalLine('api', '{"other":1}')).toBe('[api] {"other":1}');
  });

  it('gives a time to lines that have none', () => {
    const now = new Date(0);
    expect(toLogLine('hello', now)).toBe('1970-01-01T00:00:00.000Z hello');
    expect(toLogLine(entry('info'), now)).toBe(entry('info'));
  });

  it('splits any chunks into the same lines', () => {
    const text = fc.array(fc.string({ unit: fc.constantFrom('a', '\n', 'b') }));
    fc.assert(
      fc.property(text, (chunks) => {
        const lines: string[] = [];
        const splitter = splitLines((line) => lines.push(line));
        for (const chunk of chunks) splitter.push(chunk);
        splitter.end();
        const expected = chunks.join('').split('\n');
        if (expected.at(-1) === '') expected.pop();
        expect(lines).toEqual(expected);
      }),
    );
  });

  it('does not let a line without an end grow for ever', () => {
    const lines: string[] = [];
    const splitter = splitLines((line) => lines.push(line));
    for (let sent = 0; sent < 10; sent += 1) splitter.push('x'.repeat(30_000));
    expect(lines.length).toBeGreaterThan(2);
  });

  it('turns a log file over when it has grown', () => {
    const path = join(folder, 'api.log');
    const log = openLogFile(path, 100);
    for (let line = 0; line < 10; line += 1) log.write(`line ${line}`);
    log.close();
    expect(statSync(path).size).toBeLessThan(200);
    expect(readFileSync(`${path}.1`, 'utf8')).toContain('line');
    expect(readFileSync(path, 'utf8')).toContain('line 9');
  });
});

describe('lock', () => {
  it('has one holder at a time, and is free when that one is dead', async () => {
    const file = join(folder, 'a.lock');
    const script = `import { tryLock } from ${JSON.stringify(new URL('../../src/supervisor/lock.ts', import.meta.url).href)};
      console.log(tryLock(${JSON.stringify(file)}) === undefined ? 'no' : 'held'); setInterval(() => {}, 1000);`;
    const other = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [said] = (await once(other.stdout, 'data')) as [Buffer];
    expect(said.toString()).toBe('held\n');
    expect(tryLock(file)).toBeUndefined();

    other.kill('SIGKILL');
    await once(other, 'exit');
    const lock = tryLock(file);
    expect(lock).toBeDefined();
    expect(tryLock(file)).toBeUndefined();
    lock?.release();
    tryLock(file)?.release();
  });
});

describe('ensureSecretFile', () => {
  it('makes one secret, however many ask at once, for its owner only', async () => {
    const file = join(folder, 'deep', 'secret');
    const all = await Promise.all(Array.from({ length: 20 }, async () => await ensureSecretFile(file, 'p-')));
    expect(new Set(all).size).toBe(1);
    expect(all[0]).toMatch(/^p-[\w-]{43}$/);
    expect(await ensureSecretFile(file)).toBe(all[0]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(folder, 'deep'))).toEqual(['secret']);
  });

  it('refuses an empty file instead of using it', async () => {
    const file = join(folder, 'secret');
    writeFileSync(file, '\n');
    await expect(ensureSecretFile(file)).rejects.toThrow('is empty');
  });
});

it('writeSecretFile replaces what was there, for its owner only', async () => {
  const file = join(folder, 'url');
  writeFileSync(file, 'old', { mode: 0o644 });
  await writeSecretFile(file, 'new');
  expect(readFileSync(file, 'utf8')).toBe('new\n');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder)).toEqual(['url']);
});

describe('leftovers', () => {
  const mark = '--data-dir=/some/where';

  async function sleeper(...args: string[]) {
    const script =
      "process.on('SIGTERM', () => process.exit(0)); console.log('up'); setInterval(() => {}, 1000)";
    const child = spawn(process.execPath, ['-e', script, '--', ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    const { pid = 0 } = child;
    return { child, pid };
  }

  it('stops what is ours and nothing else: pids are used again', async () => {
    const ours = await sleeper(mark);
    const stranger = await sleeper('--data-dir=/some/where/else');
    try {
      await writePid(folder, 'worker', ours.pid);
      await writePid(folder, 'api', stranger.pid);
      await writePid(folder, 'proxy', 2 ** 22 + 1);
      writeFileSync(join(folder, 'model.pid'), 'nonsense');
      await writePid(folder, 'supervisor', process.pid);

      expect(await stopLeftovers(folder, [mark], 5000)).toEqual(['worker']);
      expect(isAlive(ours.pid)).toBe(false);
      expect(isAlive(stranger.pid)).toBe(true);
      expect(readdirSync(folder)).toEqual(['supervisor.pid']);
    } finally {
      ours.child.kill('SIGKILL');
      stranger.child.kill('SIGKILL');
    }
  });

  it('kills what does not listen', async () => {
    const deaf = spawn(
      process.execPath,
      ['-e', "process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1000)", '--', mark],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await once(deaf.stdout, 'data');
    const { pid = 0 } = deaf;
    await writePid(folder, 'worker', pid);
    expect(await stopLeftover(folder, 'worker', [mark], 100)).toBe(true);
    expect(isAlive(pid)).toBe(false);
    expect(await isOurs(pid, [mark])).toBe(false);
  });
});

describe('orAborted', () => {
  it('gives up waiting when told, and otherwise settles like the promise', async () => {
    const controller = new AbortController();
    expect(await orAborted(Promise.resolve(7), controller.signal)).toBe(7);
    const forever = orAborted(new Promise(() => undefined), controller.signal);
    controller.abort(new Error('enough'));
    await expect(forever).rejects.toThrow('enough');
    await expect(orAborted(Promise.resolve(7), controller.signal)).rejects.toThrow('enough');
  });
});

describe('keepRunning', () => {
  const kept: KeptProcess[] = [];
  let lines: string[];

  beforeEach(() => {
    lines = [];
  });

  afterEach(async () => {
    await Promise.all(kept.splice(0).map((one) => one.stop()));
  });

  function keep(script: string, more: Partial<ProcessSpec> = {}): KeptProcess {
    const command = (): Command => ({ program: process.execPath, args: ['-e', script], env: {} });
    const one = keepRunning(
      { name: 'role', command, readiness: 'message', graceMs: 2000, ...more },
      { runDir: folder, logsDir: folder, log: (line) => lines.push(line) },
    );
    kept.push(one);
    return one;
  }

  const READY = 'process.send({ ready: true, port: 7 });';
  const IDLE = 'setInterval(() => {}, 1000);';

  it('tells what a role said when it was ready, and hands it to the next start', async () => {
    const told: unknown[] = [];
    const one = keep('', {
      command: (previous) => {
        told.push(previous);
        return { program: process.execPath, args: ['-e', READY + IDLE], env: {} };
      },
    });
    expect(await one.ready).toMatchObject({ port: 7 });
    const pid = await readPid(folder, 'role');
    expect(pid).toBe(one.pid());
    process.kill(pid ?? 0, 'SIGKILL');
    await eventually('a new pid', async () => {
      const now = await readPid(folder, 'role');
      return now !== undefined && now !== pid && isAlive(now);
    });
    expect(told).toMatchObject([undefined, { port: 7 }]);
    await one.stop();
    expect(existsSync(join(folder, 'role.pid'))).toBe(false);
  });

  it('gives up a role that never gets ready, after some tries', async () => {
    const one = keep("console.error('boom'); process.exit(1)");
    await expect(one.ready).rejects.toThrow(/role does not start: exit code 1 \(see .*role\.log\)/);
    expect(lines.filter((line) => line === '[role] boom')).toHaveLength(3);
  });

  it('does not try again where settings are wrong', async () => {
    await expect(keep('process.exit(2)').ready).rejects.toThrow('exit code 2');
    expect(lines).toEqual([]);
  });

  it('reports a program that cannot be run', async () => {
    const one = keep('', {
      command: () => ({ program: join(folder, 'nothing'), args: [], env: {} }),
      readiness: async () => ({}),
    });
    await expect(one.ready).rejects.toThrow('ENOENT');
  });

  it('waits longer and longer for one that keeps dying', async () => {
    const one = keep(`${READY} setTimeout(() => process.exit(3), 10)`);
    await one.ready;
    await eventually('three deaths', () => lines.length >= 3);
    expect(lines[0]).toBe('role ended (exit code 3); starting it again');
  });

  it('kills what does not stop in time', async () => {
    const one = keep(`process.on('SIGTERM', () => {}); ${READY} ${IDLE}`, { graceMs: 100 });
    await one.ready;
    const pid = one.pid() ?? 0;
    await one.stop();
    expect(isAlive(pid)).toBe(false);
  });

  it('takes a program for ready when the probe says so, and its output goes into its log', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const one = keep(`console.log('from outside'); ${IDLE}`, {
      readiness: async () => {
        await promise;
        return {};
      },
    });
    let ready = false;
    void one.ready.then(() => (ready = true));
    await eventually('output', () => readFileSync(join(folder, 'role.log'), 'utf8') === 'from outside\n');
    expect(ready).toBe(false);
    resolve();
    await one.ready;
  });
});
