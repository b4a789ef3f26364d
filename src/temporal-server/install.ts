/** Keeps foreign programs in a cache folder: each is got once, whoever asks at the same time, and never half of it. */
import { execFile } from 'node:child_process';
import { access, chmod, constants, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { tryLock, type Lock } from '../supervisor/lock.ts';
import type { Way, WayContext } from './way.ts';

/** A program that is wanted. */
export interface WantedProgram {
  /** Where it is kept. The folder has a lock, and drafts while something is being got. */
  readonly path: string;
  /** What its answer to `--version` begins with. */
  readonly version: string;
  readonly ways: readonly Way[];
}

const DRAFT_PREFIX = 'new-';
const VERSION_WITHIN_MS = 20_000;
const LOCK_POLL_MS = 250;

/**
 * Gets the program by the first of its ways that works, unless it is there already.
 *
 * @returns its path; undefined where no way worked: why is added to `tried`
 */
export async function installProgram(
  wanted: WantedProgram,
  context: WayContext,
  tried: string[],
): Promise<string | undefined> {
  const { path, version, ways } = wanted;
  const { signal } = context;
  const folder = dirname(path);
  const lock = await waitForLock(join(folder, 'install.lock'), context);
  try {
    // Whoever held the lock before may have got it.
    const found = await usableProgram(path, version, []);
    if (found !== undefined) return found;
    await removeDrafts(folder);
    for (const way of ways) {
      signal.throwIfAborted();
      try {
        await bring(way, wanted, context);
        return path;
      } catch (error) {
        signal.throwIfAborted();
        tried.push(`${way.name}: ${reason(error)}`);
      }
    }
    return undefined;
  } finally {
    lock.release();
  }
}

/** The path, when there is a program and it is the right one; a wrong one is noted in `tried`. */
export async function usableProgram(
  path: string,
  version: string,
  tried: string[],
): Promise<string | undefined> {
  try {
    await access(path, constants.X_OK);
  } catch {
    return undefined;
  }
  try {
    await checkVersion(path, version);
    return path;
  } catch (error) {
    tried.push(`${path}: ${reason(error)}`);
    return undefined;
  }
}

/** Made under another name first, so that nobody ever sees half a program. */
async function bring(way: Way, { path, version }: WantedProgram, context: WayContext): Promise<void> {
  const draft = await mkdtemp(join(dirname(path), DRAFT_PREFIX));
  try {
    const program = await way.get(draft, context);
    await chmod(program, 0o755);
    await checkVersion(program, version);
    await rename(program, path);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function removeDrafts(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.startsWith(DRAFT_PREFIX)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

async function waitForLock(file: string, { log, signal }: WayContext): Promise<Lock> {
  await mkdir(dirname(file), { recursive: true });
  let told = false;
  for (;;) {
    const lock = tryLock(file);
    if (lock !== undefined) return lock;
    if (!told) log('another process is getting Temporal; waiting for it');
    told = true;
    await sleep(LOCK_POLL_MS, undefined, { signal });
  }
}

async function checkVersion(program: string, version: string): Promise<void> {
  const { stdout } = await promisify(execFile)(program, ['--version'], { timeout: VERSION_WITHIN_MS });
  if (!stdout.startsWith(version)) throw new Error(`it is "${stdout.trim()}", not "${version}"`);
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message.trim() : String(error);
}
