import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Blobs } from '../../src/blobs.ts';
import { createFolderBlobs } from '../../src/blobs/folder.ts';

const SESSION = 'sesn_01abc';

let folder: string;
let blobs: Blobs;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'blobs-'));
  blobs = createFolderBlobs(join(folder, 'not', 'there', 'yet'));
});

afterEach(() => rm(folder, { recursive: true }));

const files = (session = SESSION): Promise<string[]> => readdir(join(folder, 'not', 'there', 'yet', session));

describe('putting', () => {
  test.each(['', 'text', 'ä😀\u2028\u0000\r\n', 'x'.repeat(3_000_000)])(
    'and getting gives back the text',
    async (text) => {
      const ref = await blobs.put(SESSION, text);
      expect(ref).toEqual({
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
        bytes: Buffer.byteLength(text),
      });
      expect((await blobs.get(SESSION, ref)) === text).toBe(true);
    },
  );

  test('keeps the same text once, also when it is put by several at once', async () => {
    const refs = await Promise.all(Array.from({ length: 10 }, () => blobs.put(SESSION, 'same')));
    refs.push(await blobs.put(SESSION, 'same'));
    expect(new Set(refs.map(({ sha256 }) => sha256)).size).toBe(1);
    expect(await files()).toEqual([refs[0]?.sha256]);
  });

  test('leaves nothing beside the blob, which only its owner can read', async () => {
    const { sha256 } = await blobs.put(SESSION, 'secret');
    expect(await files()).toEqual([sha256]);
    const { mode } = await stat(join(folder, 'not', 'there', 'yet', SESSION, sha256));
    expect(mode & 0o077).toBe(0);
  });

  test('writes again what is only half there', async () => {
    const ref = await blobs.put(SESSION, 'whole');
    await writeFile(join(folder, 'not', 'there', 'yet', SESSION, ref.sha256), 'who');
    await blobs.put(SESSION, 'whole');
    expect(await blobs.get(SESSION, ref)).toBe('whole');
  });
});

describe('getting', () => {
  test('fails for what is not there, and for what another session has', async () => {
    const ref = await blobs.put(SESSION, 'mine');
    await expect(blobs.get('sesn_01other', ref)).rejects.toThrow('ENOENT');
    await expect(blobs.get(SESSION, { sha256: 'f'.repeat(64), bytes: 1 })).rejects.toThrow('ENOENT');
  });

  test('fails for what was changed', async () => {
    const ref = await blobs.put(SESSION, 'right');
    await writeFile(join(folder, 'not', 'there', 'yet', SESSION, ref.sha256), 'wrong');
    await expect(blobs.get(SESSION, ref)).rejects.toThrow(/damaged/);
  });
});

describe('removing', () => {
  test("erases a session's blobs and no other's, and may be repeated", async () => {
    const mine = await blobs.put(SESSION, 'text');
    const other = await blobs.put('sesn_01other', 'text');
    await blobs.removeAll(SESSION);
    await blobs.removeAll(SESSION);
    await blobs.removeAll('sesn_01never');
    await expect(blobs.get(SESSION, mine)).rejects.toThrow('ENOENT');
    expect(await blobs.get('sesn_01other', other)).toBe('text');
    expect(await blobs.put(SESSION, 'text')).toEqual(mine);
  });
});

test.each(['', '.', '..', '../up', 'a/b', '/abs', 'a\\b', 'a\0b', 'a.b'])(
  '%j is no name of a session',
  async (name) => {
    const ref = { sha256: 'f'.repeat(64), bytes: 1 };
    await expect(blobs.put(name, 'text')).rejects.toThrow('not a session id');
    await expect(blobs.get(name, ref)).rejects.toThrow('not a session id');
    await expect(blobs.removeAll(name)).rejects.toThrow('not a session id');
    expect(await readdir(folder)).toEqual([]);
  },
);
