/** The end of a server: all hands of a data dir are suspended, of whatever kind they are. */
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { createBubblewrapHands } from './bubblewrap.ts';

/** Notes that the data dir has hands in Docker, so that nobody else needs to ask a daemon. */
export async function noteDockerHands(dataDir: string): Promise<void> {
  const file = toDockerNote(dataDir);
  if (await exists(file)) return;
  await mkdir(join(dataDir, 'hands'), { recursive: true, mode: 0o700 });
  await writeFile(file, '');
}

/**
 * Suspends all hands of a data dir, side by side, when no worker is left that could use them. Makes no image, and
 * talks to a Docker daemon only when there are hands in one. Rejects when some could not be suspended; `signal` bounds
 * how long it tries.
 */
export async function suspendHands(dataDir: string, signal: AbortSignal): Promise<void> {
  const kinds = [createBubblewrapHands({ dataDir, nodePath: process.execPath })];
  if (await exists(toDockerNote(dataDir))) {
    const { createDockerHands } = await import('./docker.ts');
    kinds.push(createDockerHands({ image: 'none', owner: dataDir }));
  }
  const ends = await Promise.allSettled(kinds.map((hands) => hands.suspendAll(signal)));
  const failed = ends.flatMap((end) => (end.status === 'rejected' ? [String(end.reason)] : []));
  if (failed.length > 0) throw new Error(failed.join('; '));
}

function toDockerNote(dataDir: string): string {
  return join(dataDir, 'hands', '.docker');
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
