import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Blobs } from '../../src/blobs.ts';
import { createFolderBlobs } from '../../src/blobs/folder.ts';

const SESSION = 'sesn_01abc';

let folder: string;
let home: string;
let blobs: Blobs;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'blobs-'));
  home = join(folder, 'not', 'there', 'yet');
  blobs = createFolderBlobs(home);
});

afterEach(() => rm(folder, { recursive: true }));

test('leaves nothing beside the blob, which only its owner can read', async () => {
  const refs = await Promise.all(Array.from({ length: 10 }, () => blobs.put(SESSION, 'secret')));
  const sha256 = refs[0]?.sha256 ?? '';
  expect(await readdir(join(home, SESSION))).toEqual([sha256]);
  const { mode } = await stat(join(home, SESSION, sha256));
  expect(mode & 0o077).toBe(0);
});

test('writes again what is only half there', async () => {
  const ref = await blobs.put(SESSION, 'whole');
  await writeFile(join(home, SESSION, ref.sha256), 'who');
  await blobs.put(SESSION, 'whole');
  expect(await blobs.get(SESSION, ref)).toBe('whole');
});

test('fails for what was changed', async () => {
  const ref = await blobs.put(SESSION, 'right');
  await writeFile(join(home, SESSION, ref.sha256), 'wrong');
  await expect(blobs.get(SESSION, ref)).rejects.toThrow(/damaged/);
});

test('touches nothing for what is no name of a session', async () => {
  await expect(blobs.put('../up', 'text')).rejects.toThrow('not a session id');
  await expect(blobs.removeAll('..')).rejects.toThrow('not a session id');
  expect(await readdir(folder)).toEqual([]);
});

test('has copies share the room that they take, and leaves nothing beside them', async () => {
  const { sha256 } = await blobs.put(SESSION, 'shared');
  for (let time = 0; time < 2; time += 1) await blobs.copy(SESSION, 'sesn_01copy', [sha256]);
  const [one, two] = await Promise.all([
    stat(join(home, SESSION, sha256)),
    stat(join(home, 'sesn_01copy', sha256)),
  ]);
  expect(two.ino).toBe(one.ino);
  expect(await readdir(join(home, 'sesn_01copy'))).toEqual([sha256]);
});

test('takes nothing for the name of a blob that is a path', async () => {
  await writeFile(join(folder, 'secret'), 'secret');
  await expect(blobs.getBytes(SESSION, '../../../../secret')).rejects.toThrow('not the name of a blob');
  await expect(blobs.copy(SESSION, 'sesn_01copy', ['../../../../secret'])).rejects.toThrow(
    'not the name of a blob',
  );
});
