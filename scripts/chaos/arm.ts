/** Tells processes where to die: the other end of `src/kill-point.ts`. */
import { readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { KillPointName } from '../../src/kill-point.ts';

/** Has whoever passes this point next die there. */
export async function arm(file: string, point: KillPointName): Promise<void> {
  await writeFile(`${file}.draft`, point);
  await rename(`${file}.draft`, file);
}

/** Takes it back. Somebody may have died by it before. */
export async function disarm(file: string): Promise<void> {
  await rm(file, { force: true });
}

/** The process that has died by the file, each told once; undefined: none. */
export async function takeDead(file: string): Promise<number | undefined> {
  const prefix = `${basename(file)}.`;
  const names = await readdir(dirname(file));
  const left = names.find((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)));
  if (left === undefined) return undefined;
  await rm(join(dirname(file), left));
  return Number(left.slice(prefix.length));
}
