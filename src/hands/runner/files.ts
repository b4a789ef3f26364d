/**
 * The files of a hand's workspace as its runner gives and takes them: looked at for a snapshot, fetched piece by piece,
 * and laid out anew from a manifest.
 */
import { constants } from 'node:fs';
import { copyFile, chmod, lstat, mkdir, open, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isInside, NoSnapshotError, readManifest, sha256Of } from '../../snapshot.ts';
import { createWalker } from './walk.ts';
import type { Look, Piece } from './protocol.ts';
import type { Staging } from './staging.ts';

/** The files of one hand. What cannot be done rejects with NoSnapshotError. */
export interface Files {
  /** Looks at all files; `known` is the snapshot that whoever asks has already. One look after another. */
  look(known: string | undefined): Promise<Look>;
  /** Reads pieces of files, shorter ones where a file has ended. */
  fetch(pieces: readonly Piece[]): Promise<Buffer[]>;
  /** Puts what a manifest says in the place of all that is there. Safe to repeat, also after half of it. */
  lay(manifest: string, staging: Staging): Promise<void>;
}

/** The most bytes of files in one message. */
const MOST_FETCHED_BYTES = 4 * 2 ** 20;
/** Of the time that looks take which come to nothing, so many times as much passes until the next one. */
const PAUSE_FACTOR = 20;
const READ_ONLY = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Binds them to a workspace. */
export function createFiles(root: string): Files {
  const walker = createWalker(root);
  let queue: Promise<unknown> = Promise.resolve();
  let lastUs = 0;
  let refusal: { readonly error: NoSnapshotError; readonly untilMs: number } | undefined;

  const lookNow = async (known: string | undefined): Promise<Look> => {
    const sinceMs = performance.now();
    // A workspace that is too much would be walked again after each call.
    if (refusal !== undefined && sinceMs < refusal.untilMs) throw refusal.error;
    lastUs = Math.max(lastUs + 1, Date.now() * 1000);
    const takenUs = lastUs;
    try {
      const manifest = await walker.walk();
      return sha256Of(manifest) === known ? { takenUs } : { takenUs, manifest };
    } catch (error) {
      const nowMs = performance.now();
      if (error instanceof NoSnapshotError)
        refusal = { error, untilMs: nowMs + PAUSE_FACTOR * (nowMs - sinceMs) };
      throw error;
    }
  };

  return {
    look(known) {
      const turn = queue.then(() => lookNow(known));
      queue = turn.catch(() => undefined);
      return turn;
    },
    async fetch(pieces) {
      const total = pieces.reduce((sum, { length }) => sum + length, 0);
      if (total > MOST_FETCHED_BYTES) throw new NoSnapshotError('too much was asked for at once');
      const contents: Buffer[] = [];
      for (const piece of pieces) contents.push(await readPiece(root, piece));
      return contents;
    },
    async lay(text, staging) {
      const manifest = readManifest(text);
      for (const [sha256, size] of manifest.objects) await staging.require(sha256, size);
      await clear(root);
      await layOut(root, manifest.entries, staging);
    },
  };
}

async function readPiece(root: string, { path, from, length }: Piece): Promise<Buffer> {
  if (!isInside(path)) throw new NoSnapshotError(`${JSON.stringify(path)} is no path in the workspace`);
  const file = await open(join(root, path), READ_ONLY).catch(() => undefined);
  // Gone, or something else by now: whoever asked finds that it is not what it should be.
  if (file === undefined) return Buffer.alloc(0);
  try {
    const content = Buffer.alloc(length);
    const { bytesRead } = await file.read(content, 0, length, from);
    return content.subarray(0, bytesRead);
  } catch {
    return Buffer.alloc(0);
  } finally {
    await file.close();
  }
}

/** Empties a folder, whatever was made of the permissions in it. */
async function clear(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if ((await lstat(path)).isDirectory()) {
      await chmod(path, 0o700);
      await clear(path);
    }
    await rm(path, { recursive: true, force: true });
  }
}

/** Folders stay open to us until all is in them; links come last, so that nothing is written through one. */
async function layOut(
  root: string,
  entries: ReturnType<typeof readManifest>['entries'],
  staging: Staging,
): Promise<void> {
  const folders = entries.filter((entry) => entry.kind === 'dir');
  for (const { path } of folders) await mkdir(join(root, path), { mode: 0o700 });
  for (const entry of entries) {
    if (entry.kind !== 'file') continue;
    const path = join(root, entry.path);
    if (entry.size === 0) await writeFile(path, '', { flag: 'wx' });
    else await copyFile(staging.pathOf(entry.sha256), path, constants.COPYFILE_EXCL);
    await chmod(path, entry.mode);
  }
  for (const entry of entries) {
    if (entry.kind === 'symlink') await symlink(entry.target, join(root, entry.path));
  }
  for (const { path, mode } of folders.toReversed()) await chmod(join(root, path), mode);
}
