/** The data dir: its folders, and whose it is at the moment. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { tryLock } from './lock.ts';
import { readPid, removePid, writePid } from './pid-file.ts';

/** The folders that the supervisor itself uses. */
export interface Folders {
  readonly run: string;
  readonly logs: string;
  readonly secrets: string;
}

/** Longer paths of sockets are cut off or refused, by system. */
const LONGEST_SOCKET_PATH = 100;

/** Makes the folders of a data dir, for their owner only: what sessions say is in them. */
export async function makeFolders(dataDir: string): Promise<Folders> {
  const run = join(dataDir, 'run');
  const folders = { run, logs: join(dataDir, 'logs'), secrets: join(run, 'secrets') };
  for (const folder of [dataDir, ...Object.values(folders)])
    await mkdir(folder, { recursive: true, mode: 0o700 });
  return folders;
}

/**
 * Makes this process the only supervisor of the data dir until `held` is disposed of, or the process ends.
 *
 * @throws when another one has it
 */
export async function takeDataDir(
  dataDir: string,
  folders: Folders,
  held: AsyncDisposableStack,
): Promise<void> {
  const lock = tryLock(join(folders.run, 'supervisor.lock'));
  if (lock === undefined) {
    const pid = await readPid(folders.run, 'supervisor');
    throw new Error(
      `drover runs already on ${dataDir}${pid === undefined ? '' : ` (process ${pid})`}; stop it, or set DROVER_DATA_DIR`,
    );
  }
  held.defer(() => lock.release());
  await writePid(folders.run, 'supervisor', process.pid);
  held.defer(async () => await removePid(folders.run, 'supervisor'));
}

/** The database of the embedded Temporal server. */
export function temporalDatabase(dataDir: string): string {
  return join(resolve(dataDir), 'temporal.db');
}

/** Where API and workers meet: a socket that only their user can open. */
export async function busAddress(folders: Folders, held: AsyncDisposableStack): Promise<string> {
  const path = join(folders.run, 'bus.sock');
  if (Buffer.byteLength(path) <= LONGEST_SOCKET_PATH) return `unix:${path}`;
  const folder = await mkdtemp(join(tmpdir(), 'drover-'));
  held.defer(async () => await rm(folder, { recursive: true, force: true }));
  return `unix:${join(folder, 'bus.sock')}`;
}
