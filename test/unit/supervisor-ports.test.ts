import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { choosePorts, isFree } from '../../src/supervisor/ports.ts';

describe('choosePorts', () => {
  let folder: string;
  let file: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'drover-ports-'));
    file = join(folder, 'run', 'ports.json');
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('chooses free ones that differ, and the same again', async () => {
    const first = await choosePorts(file, ['a', 'b', 'c']);
    expect(new Set(Object.values(first)).size).toBe(3);
    expect(await Promise.all(Object.values(first).map(async (port) => await isFree(port)))).toEqual([
      true,
      true,
      true,
    ]);
    expect(await choosePorts(file, ['c', 'b', 'a'])).toEqual(first);
  });

  it('keeps the others when one is taken, and what it was not asked about', async () => {
    const first = await choosePorts(file, ['a', 'b']);
    await choosePorts(file, ['c']);
    const intruder = createServer().listen(first.a, '127.0.0.1');
    await once(intruder, 'listening');
    try {
      const second = await choosePorts(file, ['a', 'b']);
      expect(second.b).toBe(first.b);
      expect(second.a).not.toBe(first.a);
    } finally {
      intruder.close();
    }
    expect(Object.keys(JSON.parse(readFileSync(file, 'utf8')) as object).sort()).toEqual(['a', 'b', 'c']);
  });

  it('takes what is fixed, and starts anew from a broken file', async () => {
    await choosePorts(file, ['a']);
    writeFileSync(file, '{"a": "x", "b": 99999');
    expect(statSync(file).size).toBeGreaterThan(0);
    expect(await choosePorts(file, ['a', 'b'], { b: 12_345 })).toMatchObject({ b: 12_345 });
  });
});
