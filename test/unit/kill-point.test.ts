/** Points at which processes die: what dies here are processes that these tests start. */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { arm, disarm, takeDead } from '../../scripts/chaos/arm.ts';
import { readConfig } from '../../src/config.ts';
import { openKillPoint, withKillPoints } from '../../src/kill-point.ts';
import { roleEnvironment } from '../../src/supervisor/environment.ts';
import { eventually, run, type Running } from '../support/process.ts';

const MODULE = fileURLToPath(new URL('../../src/kill-point.ts', import.meta.url));

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-kill-point-'));
  file = join(folder, 'point');
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** A process that puts a blob and says so, from within and when it has been told that it is there. */
function start(rest = ''): Running {
  const code = `
    import { existsSync } from 'node:fs';
    import { openKillPoint, withKillPoints } from ${JSON.stringify(MODULE)};
    const file = ${JSON.stringify(file)};
    const inner = { put: async (text) => { console.log('put ' + text); return text.length; } };
    const blobs = withKillPoints(openKillPoint(file), inner, { put: 'blob' });
    ${rest || "console.log('told ' + (await blobs.put('it')));"}`;
  return run(['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', code]);
}

describe('a point', () => {
  it.each([
    ['before blob', ''],
    ['after blob', 'put it\n'],
  ] as const)('%s is where the process dies, once', async (point, said) => {
    await arm(file, point);
    const first = start();
    expect(await first.ended).toBe('SIGKILL');
    expect(first.stdout()).toBe(said);
    expect(await takeDead(file)).toBe(first.child.pid);
    expect(await takeDead(file)).toBeUndefined();

    const second = start();
    expect(await second.ended).toBe(0);
    expect(second.stdout()).toBe('put it\ntold 2\n');
    expect(await readdir(folder)).toEqual([]);
  });

  it('of another name, or that was taken back, harms nobody', async () => {
    await arm(file, 'before seal');
    const first = start();
    expect(await first.ended).toBe(0);
    expect(first.stdout()).toBe('put it\ntold 2\n');
    expect(existsSync(file)).toBe(true);
    await arm(file, 'before blob');
    await disarm(file);
    expect(await start().ended).toBe(0);
    expect(await readdir(folder)).toEqual([]);
  });

  it('kills one process of those that pass it at once', async () => {
    const over = join(folder, 'over');
    const all = Array.from({ length: 4 }, () =>
      start(`while (!existsSync(${JSON.stringify(over)})) {
        await blobs.put('x');
        await new Promise(setImmediate);
      }`),
    );
    await eventually('all to be at it', () => all.every((one) => one.stdout() !== ''));
    await arm(file, 'after blob');
    const dead = await eventually('one to die', () => takeDead(file));
    await writeFile(over, '');
    const ends = await Promise.all(all.map(({ ended }) => ended));
    expect(ends.filter((end) => end === 0)).toHaveLength(3);
    expect(all[ends.indexOf('SIGKILL')]?.child.pid).toBe(dead);
  });
});

describe('without the setting', () => {
  it('there is no point, and a port stays what it is', () => {
    const { killPoints } = readConfig({});
    expect(killPoints).toBeUndefined();
    expect(openKillPoint(killPoints)).toBeUndefined();
    const port = { put: async () => 1 };
    expect(withKillPoints(openKillPoint(killPoints), port, { put: 'blob' })).toBe(port);
  });
});

it('the setting reaches the roles that a supervisor starts', () => {
  const env = { DROVER_KILL_POINTS: file };
  expect(readConfig({ ...roleEnvironment('worker', env) }).killPoints).toBe(file);
  expect(readConfig({ ...roleEnvironment('api', env) }).killPoints).toBe(file);
});

it('leaves methods alone that have no point, and passes on what others answer and throw', async () => {
  const passed: string[] = [];
  const port = { name: 'p', add: async (a: number, b: number) => a + b, fail: async () => broken(), plain };
  const wrapped = withKillPoints((point) => void passed.push(point), port, { add: 'record', fail: 'emit' });
  expect(await wrapped.add(1, 2)).toBe(3);
  await expect(wrapped.fail()).rejects.toThrow('broken');
  expect(wrapped).toMatchObject({ name: 'p', plain });
  expect(passed).toEqual(['before record', 'after record', 'before emit']);
});

function broken(): never {
  throw new Error('broken');
}

function plain(): void {
  // Has nothing around it.
}
