/** Builds Temporal's programs from source with Go, for machines that reach Go modules but not Temporal's downloads. */
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from './run-tool.ts';
import type { Way } from './way.ts';

/** What is to be built. */
export interface GoPackage {
  /** Path and version, as `go install` takes them. */
  readonly module: string;
  /** What a person is told that it is. */
  readonly title: string;
}

const PROGRESS_MS = 15_000;
const LONGEST_MS = 45 * 60_000;

/** `go install`: minutes of all cores, once. */
export function createGoInstall({ module, title }: GoPackage): Way {
  return {
    name: 'go install',
    async get(folder, { places, signal, log }) {
      const go = await find('go', places.searchPath);
      const started = Date.now();
      log(`building ${title} from source with Go, once: about 6 minutes on two cores (${module})`);
      const progress = setInterval(() => {
        log(`still building ${title}: ${elapsed(Date.now() - started)}`);
      }, PROGRESS_MS);
      try {
        await runTool(go, ['install', module], {
          env: { ...places.env, GOBIN: folder },
          signal: AbortSignal.any([signal, AbortSignal.timeout(LONGEST_MS)]),
        });
      } finally {
        clearInterval(progress);
      }
      log(`${title} is built (${elapsed(Date.now() - started)})`);
      return join(folder, programOf(module));
    },
  };
}

/** The CLI, at the last version that `go install` can build: later ones have a `replace` in their go.mod. */
export const goInstall: Way = createGoInstall({
  module: 'github.com/temporalio/cli/cmd/temporal@v1.5.1',
  title: 'Temporal',
});

/** `go install` names a program after the last part of its package's path. */
function programOf(module: string): string {
  return module.replace(/@.*$/, '').replace(/^.*\//, '');
}

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
