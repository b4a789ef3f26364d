/** Finds the `temporal` program that the embedded server is, or gets it: nobody should have to install it by hand. */
import { execFile } from 'node:child_process';
import { access, chmod, constants, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { readToolPlaces, type ToolPlaces } from '../config.ts';
import { tryLock, type Lock } from '../supervisor/lock.ts';
import { goInstall } from './go-install.ts';
import { sdkDownload } from './sdk-download.ts';
import type { Way, WayContext } from './way.ts';

/** How to look for the program; all but `log` is for tests and unusual callers. */
export interface CliOptions {
  /** Gets a line now and then while it takes minutes. */
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal;
  readonly places?: ToolPlaces;
  readonly ways?: readonly Way[];
}

const PROGRAM = process.platform === 'win32' ? 'temporal.exe' : 'temporal';
const VERSION_WITHIN_MS = 20_000;
const LOCK_POLL_MS = 250;

/**
 * Gives the path of a `temporal` program that runs: from PATH, from the cache folder, or got now and put there, which
 * may take minutes. Any number of processes may ask at once; one gets it, the others wait.
 *
 * @throws with the list of what was tried
 */
export async function ensureTemporalCli(options: CliOptions): Promise<string> {
  const places = options.places ?? readToolPlaces();
  const tried: string[] = [];
  for (const folder of places.searchPath) {
    const found = await usable(join(folder, PROGRAM), tried);
    if (found !== undefined) return found;
  }
  if (tried.length === 0) tried.push('PATH: no temporal program there');
  const cached = join(places.cacheDir, PROGRAM);
  return (await usable(cached, tried)) ?? (await install(cached, tried, { ...options, places }));
}

type InstallOptions = CliOptions & { readonly places: ToolPlaces };

async function install(target: string, tried: string[], options: InstallOptions): Promise<string> {
  const { places, log, signal = new AbortController().signal } = options;
  const lock = await waitForLock(join(places.cacheDir, 'install.lock'), log, signal);
  try {
    // Whoever held the lock before may have got it.
    const found = await usable(target, []);
    if (found !== undefined) return found;
    tried.push(`cache: no temporal program at ${target}`);
    await removeDrafts(places.cacheDir);
    for (const way of options.ways ?? [sdkDownload, goInstall]) {
      signal.throwIfAborted();
      try {
        await bring(way, target, { places, signal, log });
        return target;
      } catch (error) {
        signal.throwIfAborted();
        tried.push(`${way.name}: ${reason(error)}`);
      }
    }
  } finally {
    lock.release();
  }
  throw new Error(
    'No Temporal server can be started. Tried:\n' +
      tried.map((line) => `  - ${line}\n`).join('') +
      'Put the temporal CLI on PATH, or set TEMPORAL_ADDRESS to a Temporal server that runs already.',
  );
}

/** Made under another name first, so that nobody ever sees half a program. */
async function bring(way: Way, target: string, context: WayContext): Promise<void> {
  const draft = await mkdtemp(join(context.places.cacheDir, DRAFT_PREFIX));
  try {
    const program = await way.get(draft, context);
    await chmod(program, 0o755);
    await checkVersion(program);
    await rename(program, target);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

const DRAFT_PREFIX = 'new-';

async function removeDrafts(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.startsWith(DRAFT_PREFIX)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

async function waitForLock(file: string, log: (line: string) => void, signal: AbortSignal): Promise<Lock> {
  await mkdir(join(file, '..'), { recursive: true });
  let told = false;
  for (;;) {
    const lock = tryLock(file);
    if (lock !== undefined) return lock;
    if (!told) log('another process is getting Temporal; waiting for it');
    told = true;
    await sleep(LOCK_POLL_MS, undefined, { signal });
  }
}

/** The path, when there is a program and it is the right one; a wrong one is noted in `tried`. */
async function usable(path: string, tried: string[]): Promise<string | undefined> {
  try {
    await access(path, constants.X_OK);
  } catch {
    return undefined;
  }
  try {
    await checkVersion(path);
    return path;
  } catch (error) {
    tried.push(`${path}: ${reason(error)}`);
    return undefined;
  }
}

async function checkVersion(program: string): Promise<void> {
  const { stdout } = await promisify(execFile)(program, ['--version'], { timeout: VERSION_WITHIN_MS });
  if (!stdout.startsWith('temporal version')) throw new Error('it is not the Temporal CLI');
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message.trim() : String(error);
}
