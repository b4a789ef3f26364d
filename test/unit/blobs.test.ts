/** One contract for every store of blobs. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openBlobs, type OpenBlobs } from '../../src/blobs/open.ts';
import { sha256Of } from '../../src/snapshot.ts';
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

  test('keep bytes under the same names, and say which there are', async () => {
    const bytes = [Buffer.from([0, 255, 10]), Buffer.from('text'), Buffer.alloc(0), Buffer.from('text')];
    const text = await blobs.put(SESSION, 'text');
    await blobs.putBytes(SESSION, bytes);
    await blobs.putBytes(SESSION, bytes);
    await blobs.putBytes(SESSION, []);
    const names = bytes.map(sha256Of);
    const none = sha256Of('never');
    expect([...(await blobs.has(SESSION, [...names, none]))].sort()).toEqual([...new Set(names)].sort());
    expect(await blobs.has('sesn_01never', names)).toEqual(new Set());
    expect(await blobs.has(SESSION, [])).toEqual(new Set());
    for (const content of bytes)
      expect(content.equals(await blobs.getBytes(SESSION, sha256Of(content)))).toBe(true);
    expect(await blobs.get(SESSION, text)).toBe('text');
    await expect(blobs.getBytes(SESSION, none)).rejects.toThrow('missing');
  });

  test('keep many at once', async () => {
    const contents = Array.from({ length: 1201 }, (_, at) => Buffer.from(`content ${at}`));
    await blobs.putBytes(SESSION, contents);
    const names = contents.map(sha256Of);
    expect((await blobs.has(SESSION, names)).size).toBe(1201);
    await blobs.copy(SESSION, 'sesn_01other', names);
    expect((await blobs.has('sesn_01other', names)).size).toBe(1201);
  });

  test('that were copied stay when those that they were copied from go, each way', async () => {
    const contents = ['one', 'two', 'three'].map((text) => Buffer.from(text));
    const [one = '', two = '', three = ''] = contents.map(sha256Of);
    await blobs.putBytes(SESSION, contents);
    await blobs.putBytes('sesn_01other', [Buffer.from('two')]);
    for (let time = 0; time < 2; time += 1)
      await blobs.copy(SESSION, 'sesn_01other', [one, two, sha256Of('never')]);
    expect(await blobs.has('sesn_01other', [one, two, three])).toEqual(new Set([one, two]));
    await blobs.copy('sesn_01other', 'sesn_01third', [one]);
    await blobs.removeAll(SESSION);
    for (const id of ['sesn_01other', 'sesn_01third'])
      expect(Buffer.from(await blobs.getBytes(id, one)).toString()).toBe('one');
    await blobs.removeAll('sesn_01other');
    expect(Buffer.from(await blobs.getBytes('sesn_01third', one)).toString()).toBe('one');
    await blobs.copy('sesn_01never', 'sesn_01third', [three]);
    expect(await blobs.has('sesn_01third', [three])).toEqual(new Set());
  });

  test.each(['', '.', '..', '../up', 'a/b', '/abs', 'a\\b', 'a\0b', 'a.b'])(
    '%j is no name of a session',
    async (name) => {
      const ref = { sha256: 'f'.repeat(64), bytes: 1 };
      await expect(blobs.put(name, 'text')).rejects.toThrow('not a session id');
      await expect(blobs.get(name, ref)).rejects.toThrow('not a session id');
      await expect(blobs.removeAll(name)).rejects.toThrow('not a session id');
      await expect(blobs.putBytes(name, [Buffer.from('text')])).rejects.toThrow('not a session id');
      await expect(blobs.getBytes(name, ref.sha256)).rejects.toThrow('not a session id');
      await expect(blobs.has(name, [ref.sha256])).rejects.toThrow('not a session id');
      await expect(blobs.copy(name, SESSION, [ref.sha256])).rejects.toThrow('not a session id');
      await expect(blobs.copy(SESSION, name, [ref.sha256])).rejects.toThrow('not a session id');
    },
  );
});
