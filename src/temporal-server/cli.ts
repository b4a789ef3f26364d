/** Finds the `temporal` program that the embedded server is, or gets it: nobody should have to install it by hand. */
import { join } from 'node:path';
import process from 'node:process';
import { readToolPlaces, type ToolPlaces } from '../config.ts';
import { goInstall } from './go-install.ts';
import { installProgram, usableProgram } from './install.ts';
import { sdkDownload } from './sdk-download.ts';
import type { Way } from './way.ts';

/** How to look for the program; all but `log` is for tests and unusual callers. */
export interface CliOptions {
  /** Gets a line now and then while it takes minutes. */
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal;
  readonly places?: ToolPlaces;
  readonly ways?: readonly Way[];
}

const PROGRAM = process.platform === 'win32' ? 'temporal.exe' : 'temporal';
const VERSION = 'temporal version';

/**
 * Gives the path of a `temporal` program that runs: from PATH, from the cache folder, or got now and put there, which
 * may take minutes. Any number of processes may ask at once; one gets it, the others wait.
 *
 * @throws with the list of what was tried
 */
export async function ensureTemporalCli(options: CliOptions): Promise<string> {
  const { log, signal = new AbortController().signal, places = readToolPlaces() } = options;
  const tried: string[] = [];
  for (const folder of places.searchPath) {
    const found = await usableProgram(join(folder, PROGRAM), VERSION, tried);
    if (found !== undefined) return found;
  }
  if (tried.length === 0) tried.push('PATH: no temporal program there');
  const path = join(places.cacheDir, PROGRAM);
  const cached = await usableProgram(path, VERSION, tried);
  if (cached !== undefined) return cached;
  tried.push(`cache: no temporal program at ${path}`);
  const wanted = { path, version: VERSION, ways: options.ways ?? [sdkDownload, goInstall] };
  const installed = await installProgram(wanted, { places, signal, log }, tried);
  if (installed !== undefined) return installed;
  throw new Error(
    'No Temporal server can be started. Tried:\n' +
      tried.map((line) => `  - ${line}\n`).join('') +
      'Put the temporal CLI on PATH, or set TEMPORAL_ADDRESS to a Temporal server that runs already.',
  );
}
