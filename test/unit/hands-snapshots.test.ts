/** Snapshots over a runner's line: with the runner itself as a plain process, and with runners that lie. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createConnection, type RemoteFiles } from '../../src/hands/connection.ts';
import { createLink, type Link } from '../../src/hands/link.ts';
import { restoreSnapshot, takeSnapshot } from '../../src/hands/snapshots.ts';
import {
  NoSnapshotError,
  readManifest,
  sha256Of,
  SNAPSHOT_LIMITS,
  toManifest,
  type ManifestEntry,
} from '../../src/snapshot.ts';
import { eventually } from '../support/eventually.ts';
import { createMemoryStore, type MemoryStore } from '../support/snapshots.ts';

const RUNNER = fileURLToPath(new URL('../../src/hands/runner.ts', import.meta.url));
const never = { signal: new AbortController().signal };

interface Place {
  readonly work: string;
  readonly state: string;
  readonly link: Link;
  readonly open: () => Promise<Duplex>;
}

describe('a runner', () => {
  let folder = '';
  let store: MemoryStore;
  const children: ChildProcess[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'drover-snapshots-'));
    store = createMemoryStore();
  });
  afterEach(async () => {
    for (const child of children.splice(0)) {
      if (child.exitCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    await rm(folder, { recursive: true });
  });

  async function start(name: string): Promise<Place> {
    const home = join(folder, name);
    for (const part of ['state', 'work', 'session', 'tmp'])
      await mkdir(join(home, part), { recursive: true });
    const places = ['state', 'session', 'tmp'].flatMap((part) => [`--${part}`, join(home, part)]);
    const child = spawn(process.execPath, [RUNNER, 'serve', ...places, '--workdir', join(home, 'work')], {
      env: { PATH: process.env['PATH'] },
      stdio: 'inherit',
    });
    children.push(child);
    const open = async (): Promise<Duplex> => {
      const socket = connect(join(home, 'state', 'runner.sock'));
      await once(socket, 'connect');
      return socket;
    };
    await eventually(async () => void (await open()).destroy());
    const link = createLink({ open, findCauseOfDeath: async () => undefined });
    return { work: join(home, 'work'), state: join(home, 'state'), link, open };
  }

  /** As a manifest, which has all that a snapshot is to keep. */
  async function filesOf({ open }: Place): Promise<readonly ManifestEntry[]> {
    const own = createMemoryStore();
    // A line of its own: one line knows one store.
    const link = createLink({ open, findCauseOfDeath: async () => undefined });
    const { id } = await link.snapshot(own, never);
    link.close();
    return readManifest(Buffer.from(await own.get(id)).toString('utf8')).entries;
  }

  it('keeps all files, each content once, and lays them out in another hand as they were', async () => {
    const one = await start('one');
    const large = Buffer.alloc(5 * 2 ** 20, 'large ');
    await mkdir(join(one.work, 'a/b'), { recursive: true });
    await writeFile(join(one.work, 'a/b/run'), 'echo', { mode: 0o755 });
    await writeFile(join(one.work, 'a/same'), 'echo', { mode: 0o600 });
    await writeFile(join(one.work, 'nothing'), '');
    await writeFile(join(one.work, 'ä 😀\n"'), large);
    await symlink('a/b', join(one.work, 'folder'));
    await symlink('/etc/passwd', join(one.work, 'out'));
    await chmod(join(one.work, 'a/b'), 0o555);
    const taken = await one.link.snapshot(store, never);
    expect(taken.bytes).toBe(large.length + 8);
    expect(store.contents.size).toBe(3);
    expect(taken.addedBytes).toBe(large.length + 4 + (store.contents.get(taken.id)?.length ?? 0));

    const two = await start('two');
    await two.link.restore(taken.id, store, never);
    expect(await filesOf(two)).toEqual(await filesOf(one));
    expect((await readFile(join(two.work, 'ä 😀\n"'))).equals(large)).toBe(true);
    expect(await readlink(join(two.work, 'out'))).toBe('/etc/passwd');
    expect((await lstat(join(two.work, 'a/b/run'))).mode & 0o777).toBe(0o755);
    expect((await readdir(two.state)).filter((name) => name.startsWith('staging'))).toEqual([]);
    for (const { link } of [one, two]) link.close();
  });

  it('gives only what is new, and of the same files the same snapshot', async () => {
    const place = await start('one');
    await writeFile(join(place.work, 'f'), 'one');
    await writeFile(join(place.work, 'g'), 'other');
    const first = await place.link.snapshot(store, never);
    const again = await place.link.snapshot(store, never);
    expect(again).toMatchObject({ id: first.id, bytes: 8, addedBytes: 0 });
    expect(again.takenUs).toBeGreaterThan(first.takenUs);
    store.puts.length = 0;
    await writeFile(join(place.work, 'f'), 'two');
    const second = await place.link.snapshot(store, never);
    expect(store.puts).toEqual([sha256Of('two'), second.id]);
    await writeFile(join(place.work, 'f'), 'one');
    expect(await place.link.snapshot(store, never)).toMatchObject({ id: first.id, addedBytes: 0 });
    // Another worker knows no snapshot of this hand.
    const other = createLink({ open: place.open, findCauseOfDeath: async () => undefined });
    expect(await other.snapshot(store, never)).toMatchObject({ id: first.id, bytes: 8, addedBytes: 0 });
    for (const link of [place.link, other]) link.close();
  });

  it('is not deceived by a file that keeps its size and its time', async () => {
    const place = await start('one');
    const path = join(place.work, 'f');
    const time = new Date(1_000_000_000_000);
    const seen = new Set<string>();
    for (let round = 0; round < 30; round += 1) {
      await writeFile(path, String(round).padStart(4));
      await utimes(path, time, time);
      seen.add((await place.link.snapshot(store, never)).id);
    }
    expect(seen.size).toBe(30);
    place.link.close();
  });

  it('says why there is no snapshot, looks again when it may, and gives no half one', async () => {
    const place = await start('one');
    await writeFile(join(place.work, 'small'), 'content');
    const path = join(place.work, 'large');
    await writeFile(path, '');
    await truncate(path, SNAPSHOT_LIMITS.fileBytes + 1);
    await expect(place.link.snapshot(store, never)).rejects.toThrow('"large" is larger than 64 MiB');
    await expect(place.link.snapshot(store, never)).rejects.toBeInstanceOf(NoSnapshotError);
    expect(store.puts).toEqual([]);
    await rm(path);
    await eventually(async () => void (await place.link.snapshot(store, never)));
    place.link.close();
  });

  it('gives no list of files that would not fit into a message', async () => {
    const place = await start('one');
    for (let at = 0; at < 2000; at += 1) await symlink('x'.repeat(4000), join(place.work, `l${at}`));
    await expect(place.link.snapshot(store, never)).rejects.toThrow('the list of its files is too long');
    expect(
      await place.link.execute({ id: 'a', name: 'bash', input: { command: 'echo on' } }, never),
    ).toMatchObject({
      content: [{ text: 'on' }],
    });
    place.link.close();
  });

  it('lays nothing out once a call has run, whatever was there before', async () => {
    const one = await start('one');
    await writeFile(join(one.work, 'f'), 'as it was');
    const { id } = await one.link.snapshot(store, never);
    const two = await start('two');
    await mkdir(join(two.work, 'left'));
    await writeFile(join(two.work, 'left/over'), 'half of an earlier try', { mode: 0o400 });
    await chmod(join(two.work, 'left'), 0o500);
    await two.link.restore(id, store, never);
    await two.link.restore(id, store, never);
    expect(await readdir(two.work)).toEqual(['f']);
    await two.link.execute({ id: 'call_1', name: 'bash', input: { command: 'echo new > f' } }, never);
    await expect(two.link.restore(id, store, never)).rejects.toThrow('a call has run in it already');
    expect(await readFile(join(two.work, 'f'), 'utf8')).toBe('new\n');
    for (const { link } of [one, two]) link.close();
  });

  it('keeps nothing of what came over a line that has ended, whatever was still on its way', async () => {
    const place = await start('one');
    const data = Buffer.alloc(2 ** 20).toString('base64');
    for (let round = 0; round < 5; round += 1) {
      const connection = await createConnection(await place.open());
      const sending = Array.from({ length: 20 }, (_, at) =>
        connection.files.stage([{ sha256: sha256Of(`${at}`), from: 0, data }]).catch(() => undefined),
      );
      await sending[round];
      connection.close();
      await Promise.all(sending);
    }
    await eventually(async () => {
      // Answered after all that the runner had taken from the lines that have ended.
      await place.link.ready();
      expect((await readdir(place.state)).filter((name) => name.startsWith('staging'))).toEqual([]);
    });
    expect((await readdir(place.state)).filter((name) => name.startsWith('staging'))).toEqual([]);
    place.link.close();
  });

  it('lets a call wait that comes while files are laid out', async () => {
    const one = await start('one');
    for (let at = 0; at < 300; at += 1) await writeFile(join(one.work, `f${at}`), `${at}`);
    const { id } = await one.link.snapshot(store, never);
    const two = await start('two');
    const files = (await createConnection(await two.open())).files;
    // The runner answers in the order in which it is done, but begins in the order of the requests.
    const count = { id: 'call_1', name: 'bash', input: { command: 'ls | wc -l' } };
    let counted: Promise<unknown> | undefined;
    const laying: RemoteFiles = {
      ...files,
      lay: (manifest) => {
        const laid = files.lay(manifest);
        counted = two.link.execute(count, never);
        return laid;
      },
    };
    await two.link.ready();
    await restoreSnapshot({ files: laying, store, ...never }, id);
    expect(await counted).toMatchObject({ content: [{ text: '300' }] });
    for (const { link } of [one, two]) link.close();
  });

  it('gives nothing from outside of its workspace, and lays nothing out there', async () => {
    const place = await start('one');
    await writeFile(join(folder, 'secret'), 'secret');
    await symlink(join(folder, 'secret'), join(place.work, 'link'));
    const connection = await createConnection(await place.open());
    const { files } = connection;
    const pieces = (path: string) => [{ path, from: 0, length: 6 }];
    for (const path of ['../../secret', join(folder, 'secret'), 'a/../../../secret'])
      await expect(files.fetch(pieces(path))).rejects.toThrow('no path in the workspace');
    expect(await files.fetch(pieces('link'))).toEqual([Buffer.alloc(0)]);
    expect(await files.fetch(pieces('missing'))).toEqual([Buffer.alloc(0)]);
    await expect(files.fetch([{ path: 'f', from: 0, length: 2 ** 30 }])).rejects.toThrow('too much');
    await files.stage([{ sha256: sha256Of('evil'), from: 0, data: Buffer.from('evil').toString('base64') }]);
    const evil = { kind: 'file', mode: 0o644, size: 4, sha256: sha256Of('evil') } as const;
    for (const path of ['../evil', '/tmp/evil', 'link/evil'])
      await expect(files.lay(toManifest([{ ...evil, path }]))).rejects.toBeInstanceOf(NoSnapshotError);
    await expect(files.lay(toManifest([{ ...evil, path: 'f', sha256: sha256Of('else') }]))).rejects.toThrow(
      'has not come whole',
    );
    expect(await readdir(place.work)).toEqual(['link']);
    connection.close();
    place.link.close();
  });
});

describe('of a runner that lies', () => {
  const content = Buffer.from('content');
  const entry = { path: 'f', kind: 'file', mode: 0o644, size: 7, sha256: sha256Of('content') } as const;

  /** A runner that answers as it is told. */
  function lying(manifest: string, give: () => Buffer): RemoteFiles & { readonly fetched: string[] } {
    const fetched: string[] = [];
    return {
      fetched,
      look: async () => ({ takenUs: 1, manifest }),
      async fetch(pieces) {
        fetched.push(...pieces.map(({ path }) => path));
        return pieces.map(give);
      },
      stage: async () => undefined,
      lay: async () => undefined,
    };
  }

  it('content under another hash is not kept', async () => {
    const store = createMemoryStore();
    const files = lying(toManifest([entry]), () => Buffer.from('another'));
    await expect(takeSnapshot({ files, store, ...never }, undefined)).rejects.toThrow(
      '"f" changes all the time',
    );
    expect(store.puts).toEqual([]);
    expect(files.fetched).toEqual(['f', 'f', 'f']);
  });

  it('more content than the manifest says is not kept', async () => {
    const store = createMemoryStore();
    const files = lying(toManifest([entry]), () => Buffer.concat([content, content]));
    await expect(takeSnapshot({ files, store, ...never }, undefined)).rejects.toBeInstanceOf(NoSnapshotError);
    expect(store.puts).toEqual([]);
  });

  it('content that held still the second time is kept', async () => {
    const store = createMemoryStore();
    let times = 0;
    const files = lying(toManifest([entry]), () => ((times += 1) === 1 ? Buffer.from('another') : content));
    const { id } = await takeSnapshot({ files, store, ...never }, undefined);
    expect(store.puts).toEqual([entry.sha256, id]);
  });

  it('a path that leads out is refused before anything is fetched', async () => {
    const store = createMemoryStore();
    for (const path of ['../f', '/etc/f', 'a/../../f']) {
      const files = lying(toManifest([{ ...entry, path }]), () => content);
      await expect(takeSnapshot({ files, store, ...never }, undefined)).rejects.toBeInstanceOf(
        NoSnapshotError,
      );
      expect(files.fetched).toEqual([]);
    }
    expect(store.puts).toEqual([]);
  });

  it('a store that was tampered with is not laid out', async () => {
    const files = lying('', () => content);
    const evil = Buffer.from(toManifest([{ ...entry, path: '../f' }]));
    const store = createMemoryStore();
    await store.put([evil]);
    await expect(restoreSnapshot({ files, store, ...never }, sha256Of(evil))).rejects.toBeInstanceOf(
      NoSnapshotError,
    );
  });
});
