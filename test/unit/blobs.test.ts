/** One contract for every store of blobs. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openBlobs, type OpenBlobs } from '../../src/blobs/open.ts';
import { createTestDatabase, DATABASE_KINDS, type TestDatabase } from '../support/database.ts';

const SESSION = 'sesn_01abc';

/** As the settings choose them: a folder with SQLite, rows in Postgres. */
describe.each(DATABASE_KINDS)('blobs beside %s', (kind) => {
  let dataDir: string;
  let database: TestDatabase;
  let opened: OpenBlobs[];
  let blobs: OpenBlobs;

  const open = async (): Promise<OpenBlobs> => {
    const one = await openBlobs({ database: database.place, dataDir });
    opened.push(one);
    return one;
  };

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'drover-blobs-'));
    database = await createTestDatabase(kind);
    opened = [];
    blobs = await open();
  });

  afterEach(async () => {
    for (const one of opened) await one.close();
    await database.remove();
    await rm(dataDir, { recursive: true });
  });

  test.each(['', 'text', '\uFEFFä😀\u2028\u0000\r\n', 'x'.repeat(3_000_000)])(
    'give back what was put',
    async (text) => {
      const ref = await blobs.put(SESSION, text);
      expect(ref).toEqual({
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
        bytes: Buffer.byteLength(text),
      });
      expect((await blobs.get(SESSION, ref)) === text).toBe(true);
    },
  );

  test('are there for other processes, and put by several at once', async () => {
    const other = await open();
    const refs = await Promise.all(
      Array.from({ length: 10 }, (_, at) => (at % 2 === 0 ? blobs : other).put(SESSION, 'same')),
    );
    refs.push(await blobs.put(SESSION, 'same'));
    expect(new Set(refs.map(({ sha256 }) => sha256)).size).toBe(1);
    expect(await other.get(SESSION, refs[0] ?? { sha256: '', bytes: 0 })).toBe('same');
  });

  test('are not there for other sessions', async () => {
    const ref = await blobs.put(SESSION, 'mine');
    await expect(blobs.get('sesn_01other', ref)).rejects.toThrow('missing');
    await expect(blobs.get(SESSION, { sha256: 'f'.repeat(64), bytes: 1 })).rejects.toThrow('missing');
  });

  test('go with their session, and no others do', async () => {
    const mine = await blobs.put(SESSION, 'text');
    const other = await blobs.put('sesn_01other', 'text');
    await blobs.removeAll(SESSION);
    await blobs.removeAll(SESSION);
    await blobs.removeAll('sesn_01never');
    await expect(blobs.get(SESSION, mine)).rejects.toThrow('missing');
    expect(await blobs.get('sesn_01other', other)).toBe('text');
    expect(await blobs.put(SESSION, 'text')).toEqual(mine);
  });

  test.each(['', '.', '..', '../up', 'a/b', '/abs', 'a\\b', 'a\0b', 'a.b'])(
    '%j is no name of a session',
    async (name) => {
      const ref = { sha256: 'f'.repeat(64), bytes: 1 };
      await expect(blobs.put(name, 'text')).rejects.toThrow('not a session id');
      await expect(blobs.get(name, ref)).rejects.toThrow('not a session id');
      await expect(blobs.removeAll(name)).rejects.toThrow('not a session id');
    },
  );
});
