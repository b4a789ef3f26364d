/**
 * Looks at the files of a workspace for a snapshot. Nothing is followed that is a link, and a file that has not changed
 * since the last look is not read again.
 */
import { createHash } from 'node:crypto';
import { closeSync, constants, lstatSync, opendirSync, openSync, readlinkSync, readSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import {
  NoSnapshotError,
  quote,
  requireFileWithinLimits,
  requireManifestWithinLimits,
  requireWithinLimits,
  toManifest,
  type ManifestEntry,
} from '../../snapshot.ts';

/** Looks at a workspace, again and again. */
export interface Walker {
  /**
   * The manifest of what is there now.
   *
   * @throws {NoSnapshotError} when it is too much, or something cannot be read
   */
  walk(): Promise<string>;
}

/** How a file was when it was read. Of another one, or a changed one, at least one of these differs. */
interface Reading {
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly ino: bigint;
  readonly sha256: string;
}

/** A walk on its way. */
interface Walk {
  readonly root: string;
  readonly entries: ManifestEntry[];
  readonly before: ReadonlyMap<string, Reading>;
  readonly after: Map<string, Reading>;
  bytes: number;
}

/** Never follows a link, and never waits for the other end of a pipe. */
const READ_ONLY = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** Up to this size, reading at once is quicker than asking for it. */
const SMALL_BYTES = 128 * 1024;
const CHUNK_BYTES = 1024 * 1024;
/** Calls and signs of life are answered in between. */
const ENTRIES_AT_ONCE = 500;
/** The kernel's file times go in steps. A file that was changed so lately may be changed again without it showing. */
const FRESH_NS = 20_000_000n;

/** Makes a walker over a folder. */
export function createWalker(root: string): Walker {
  let readings: ReadonlyMap<string, Reading> = new Map();
  return {
    async walk() {
      const walk: Walk = { root, entries: [], before: readings, after: new Map(), bytes: 0 };
      await visit(walk, '');
      readings = walk.after;
      const manifest = toManifest(walk.entries);
      requireManifestWithinLimits(manifest);
      return manifest;
    },
  };
}

async function visit(walk: Walk, folder: string): Promise<void> {
  const below: string[] = [];
  const listing = orRefuse(folder, () => opendirSync(join(walk.root, folder)));
  try {
    for (let item = listing.readSync(); item !== null; item = listing.readSync()) {
      const path = folder === '' ? item.name : `${folder}/${item.name}`;
      // What Node puts where a name is no text.
      if (item.name.includes('\uFFFD'))
        throw new NoSnapshotError(`${quote(path)} has a name that is no UTF-8`);
      if (await add(walk, path)) below.push(path);
      requireWithinLimits({ entries: walk.entries.length, bytes: walk.bytes });
      if (walk.entries.length % ENTRIES_AT_ONCE === 0) await breathe();
    }
  } finally {
    listing.closeSync();
  }
  for (const path of below) await visit(walk, path);
}

/** Adds what is at a path; true for a folder. Sockets, pipes and devices are left out: they have no content. */
async function add(walk: Walk, path: string): Promise<boolean> {
  const full = join(walk.root, path);
  const stats = lstatSync(full, { bigint: true, throwIfNoEntry: false });
  // Something that runs in the background has removed it.
  if (stats === undefined) return false;
  const mode = Number(stats.mode) & 0o777;
  if (stats.isSymbolicLink()) {
    const target = orRefuse(path, () => readlinkSync(full));
    if (target.includes('\uFFFD')) throw new NoSnapshotError(`${quote(path)} is a link to what is no UTF-8`);
    walk.entries.push({ path, kind: 'symlink', target });
  } else if (stats.isDirectory()) {
    walk.entries.push({ path, kind: 'dir', mode });
  } else if (stats.isFile()) {
    const size = Number(stats.size);
    requireFileWithinLimits(path, size);
    walk.bytes += size;
    const sha256 = await hashOf(walk, path, stats);
    walk.entries.push({ path, kind: 'file', mode, size, sha256 });
  }
  return stats.isDirectory();
}

async function hashOf(walk: Walk, path: string, stats: BigIntStats): Promise<string> {
  const { size, mtimeNs, ctimeNs, ino } = stats;
  const known = walk.before.get(path);
  const isSame =
    known?.size === size && known.mtimeNs === mtimeNs && known.ctimeNs === ctimeNs && known.ino === ino;
  const isFresh = BigInt(Date.now()) * 1_000_000n - ctimeNs < FRESH_NS;
  const sha256 = isSame ? known.sha256 : await readHash(join(walk.root, path), path, Number(size));
  if (isSame || !isFresh) walk.after.set(path, { size, mtimeNs, ctimeNs, ino, sha256 });
  return sha256;
}

/** The hash of as much as the file had. One that changes meanwhile gets some hash; whoever fetches it will notice. */
async function readHash(full: string, path: string, size: number): Promise<string> {
  const hash = createHash('sha256');
  if (size <= SMALL_BYTES) return hash.update(readSmall(full, path, size)).digest('hex');
  const file = await open(full, READ_ONLY).catch((error: unknown) => refuse(path, error));
  try {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    for (let at = 0; at < size;) {
      const { bytesRead } = await file.read(chunk, 0, Math.min(CHUNK_BYTES, size - at), at);
      if (bytesRead === 0) break;
      hash.update(chunk.subarray(0, bytesRead));
      at += bytesRead;
    }
    return hash.digest('hex');
  } finally {
    await file.close();
  }
}

function readSmall(full: string, path: string, size: number): Buffer {
  const file = orRefuse(path, () => openSync(full, READ_ONLY));
  try {
    const content = Buffer.allocUnsafe(size);
    let at = 0;
    for (let read = -1; read !== 0 && at < size; at += read)
      read = readSync(file, content, at, size - at, at);
    return content.subarray(0, at);
  } finally {
    closeSync(file);
  }
}

function orRefuse<T>(path: string, look: () => T): T {
  try {
    return look();
  } catch (error) {
    return refuse(path, error);
  }
}

function refuse(path: string, error: unknown): never {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  throw new NoSnapshotError(`${quote(path)} cannot be read (${code})`);
}
