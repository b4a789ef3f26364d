/** Builds the Temporal CLI from source with Go, for machines that reach Go modules but not Temporal's downloads. */
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from './run-tool.ts';
import type { Way } from './way.ts';

/** The last version that `go install` can build: later ones have a `replace` in their go.mod. */
const MODULE = 'github.com/temporalio/cli/cmd/temporal@v1.5.1';
const PROGRESS_MS = 15_000;
const LONGEST_MS = 45 * 60_000;

/** `go install`: minutes of all cores, once. */
export const goInstall: Way = {
  name: 'go install',
  async get(folder, { places, signal, log }) {
    const go = await find('go', places.searchPath);
    const started = Date.now();
    log(`building Temporal from source with Go, once: about 6 minutes on two cores (${MODULE})`);
    const progress = setInterval(() => {
      log(`still building Temporal: ${elapsed(Date.now() - started)}`);
    }, PROGRESS_MS);
    try {
      await runTool(go, ['install', MODULE], {
        env: { ...places.env, GOBIN: folder },
        signal: AbortSignal.any([signal, AbortSignal.timeout(LONGEST_MS)]),
      });
    } finally {
      clearInterval(progress);
    }
    log(`Temporal is built (${elapsed(Date.now() - started)})`);
    return join(folder, 'temporal');
  },
};

async function find(program: string, folders: readonly string[]): Promise<string> {
  for (const folder of folders) {
    const path = join(folder, program);
    const there = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (there) return path;
  }
  throw new Error(`no ${program} program on PATH`);
}

function elapsed(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
