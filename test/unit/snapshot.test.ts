/** Manifests: the same files give the same one, and none reaches out of a workspace. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  isInside,
  mayChangeFiles,
  NoSnapshotError,
  readManifest,
  sha256Of,
  SNAPSHOT_LIMITS,
  toManifest,
  type ManifestEntry,
} from '../../src/snapshot.ts';

const HASH = sha256Of('content');
const file = (path: string, size = 7, sha256 = HASH): ManifestEntry => ({
  path,
  kind: 'file',
  mode: 0o644,
  size,
  sha256,
});
const folder = (path: string): ManifestEntry => ({ path, kind: 'dir', mode: 0o755 });
const link = (path: string, target: string): ManifestEntry => ({ path, kind: 'symlink', target });
/** A manifest as a runner that is up to no good may write it. */
const forged = (...entries: object[]): string => JSON.stringify({ version: 1, entries });

describe('a manifest', () => {
  test('does not depend on the order in which files were found', () => {
    const name = fc.string({ minLength: 1, maxLength: 8 }).filter(isInside);
    fc.assert(
      fc.property(
        fc.uniqueArray(name, { minLength: 1, maxLength: 8 }),
        fc.infiniteStream(fc.nat()),
        (names, dice) => {
          const entries = names.map((path) => file(path));
          const shuffled = entries
            .map((entry) => ({ entry, at: dice.next().value }))
            .sort((left, right) => left.at - right.at)
            .map(({ entry }) => entry);
          expect(toManifest(shuffled)).toBe(toManifest(entries));
        },
      ),
    );
  });

  test('is read as it was written, and counts each content once', () => {
    const entries = [
      folder('a'),
      folder('a/b'),
      file('a/b/f'),
      file('g'),
      file('nothing', 0, sha256Of('')),
      link('out', '/etc/passwd'),
    ];
    const text = toManifest(entries);
    const manifest = readManifest(text);
    expect(manifest).toMatchObject({ id: sha256Of(text), entries, bytes: 14 });
    expect([...manifest.objects]).toEqual([[HASH, 7]]);
    expect(readManifest(toManifest([])).entries).toEqual([]);
  });

  test('names another snapshot when anything is another', () => {
    const ids = [
      [file('f')],
      [file('g')],
      [file('f', 7, sha256Of('another'))],
      [{ ...file('f'), mode: 0o755 } as ManifestEntry],
      [folder('f')],
      [link('f', 'g')],
      [link('f', 'h')],
    ].map((entries) => readManifest(toManifest(entries)).id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test.each([
    '/etc/passwd',
    '..',
    '../f',
    'a/../../f',
    './f',
    'a//f',
    'a/',
    '',
    '/',
    'a\0b',
    'x'.repeat(256),
  ])('with the path %j is refused', (path) => {
    expect(isInside(path)).toBe(false);
    const parents = [folder('a'), folder('a/..')];
    expect(() => readManifest(toManifest([file(path)]))).toThrow(NoSnapshotError);
    expect(() => readManifest(toManifest([...parents, file(path)]))).toThrow(NoSnapshotError);
  });

  test.each([
    ['below a link', [link('a', '/etc'), file('a/passwd')]],
    ['below a file', [file('a'), file('a/b')]],
    ['in no folder', [file('a/b')]],
    ['there twice', [file('a'), link('a', '/etc')]],
  ])('with something %s is refused', (_, entries) => {
    expect(() => readManifest(toManifest(entries))).toThrow(NoSnapshotError);
  });

  test.each([
    'nonsense',
    '{}',
    'null',
    forged({ path: 'f' }),
    forged({ ...file('f'), mode: 0o4755 }),
    forged({ ...file('f'), size: -1 }),
    forged({ ...file('f'), size: 1.5 }),
    forged({ ...file('f'), sha256: '../../up' }),
    forged({ ...file('f'), sha256: HASH.toUpperCase() }),
    forged({ path: 'f', kind: 'fifo', mode: 0o644 }),
    forged({ path: 'f', kind: 'symlink', target: 'a\0b' }),
    forged({ ...file('f'), more: 1 }),
    forged(file('b'), file('a')),
    `${toManifest([file('f')])} `,
    toManifest([file('f')]).replace('"version":1', '"version":2'),
  ])('that is not written as it should be is refused: %s', (text) => {
    expect(() => readManifest(text)).toThrow(NoSnapshotError);
  });

  test('whose sizes cannot be true is refused', () => {
    expect(() => readManifest(toManifest([file('a', 7), file('b', 8)]))).toThrow('size');
    expect(() => readManifest(toManifest([file('a', 0)]))).toThrow('size');
    expect(() => readManifest(toManifest([file('a', 1, sha256Of(''))]))).toThrow('size');
  });

  test('of more than the limits allow is refused with the limit', () => {
    const many = Array.from({ length: SNAPSHOT_LIMITS.entries + 1 }, (_, at) => folder(`f${at}`));
    expect(() => readManifest(toManifest(many))).toThrow('more than 20000 files and folders');
    expect(readManifest(toManifest(many.slice(1))).entries).toHaveLength(SNAPSHOT_LIMITS.entries);
    expect(() => readManifest(toManifest([file('f', SNAPSHOT_LIMITS.fileBytes + 1)]))).toThrow(
      'larger than 64 MiB',
    );
    const large = Array.from({ length: 5 }, (_, at) =>
      file(`f${at}`, SNAPSHOT_LIMITS.fileBytes, sha256Of(`${at}`)),
    );
    expect(() => readManifest(toManifest(large))).toThrow('more than 256 MiB');
    const long = Array.from({ length: 2000 }, (_, at) => link(`f${at}`, 'x'.repeat(4000)));
    expect(() => readManifest(toManifest(long))).toThrow('too long');
  });
});

test('only tools that look at files leave them as they are', () => {
  expect(['bash', 'write', 'edit', 'what comes next'].every(mayChangeFiles)).toBe(true);
  expect(['read', 'glob', 'grep'].some(mayChangeFiles)).toBe(false);
});
