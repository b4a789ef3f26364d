/** Temporal's own download of its CLI, as the SDK offers it. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { runTool } from './run-tool.ts';
import type { Way } from './way.ts';

/** The hidden command of our CLI that `get` runs in a process of its own. */
export const DOWNLOAD_COMMAND = 'download-temporal';

const FIRST_BYTE_MS = 20_000;
const STALLED_MS = 60_000;
const POLL_MS = 500;

/** The SDK's download. It cannot be interrupted, hence the process of its own. */
export const sdkDownload: Way = {
  name: 'download',
  async get(folder, { places, signal, log }) {
    log('getting Temporal by download, once');
    const entry = fileURLToPath(new URL('../cli.ts', import.meta.url));
    const watch = watchProgress(folder);
    try {
      await runTool(process.execPath, [entry, DOWNLOAD_COMMAND, folder], {
        env: places.env,
        signal: AbortSignal.any([signal, watch.stalled]),
      });
    } finally {
      watch.stop();
    }
    const [program] = await readdir(folder);
    if (program === undefined) throw new Error('nothing was downloaded');
    return join(folder, program);
  },
};

/** What the process does. The SDK has no bare download: it starts the server too, so that is stopped again. */
export async function downloadWithSdk(folder: string): Promise<void> {
  const { TestWorkflowEnvironment } = await import('@temporalio/testing');
  const environment = await TestWorkflowEnvironment.createLocal({
    server: { executable: { type: 'cached-download', downloadDir: folder } },
  });
  await environment.teardown();
}

/** Aborts when the folder stays empty for long, or what is in it stops to grow: a blocked network often only hangs. */
function watchProgress(folder: string): { readonly stalled: AbortSignal; stop(): void } {
  const controller = new AbortController();
  let size = 0;
  let since = Date.now();
  const look = async () => {
    const now = await sizeOf(folder);
    if (now > size) {
      size = now;
      since = Date.now();
    }
    const limitMs = size === 0 ? FIRST_BYTE_MS : STALLED_MS;
    if (Date.now() - since > limitMs) controller.abort(new Error(`nothing arrived for ${limitMs / 1000} s`));
  };
  const timer = setInterval(() => void look(), POLL_MS);
  return { stalled: controller.signal, stop: () => clearInterval(timer) };
}

async function sizeOf(folder: string): Promise<number> {
  let total = 0;
  for (const name of await readdir(folder).catch(() => [])) {
    const found = await stat(join(folder, name)).catch(() => undefined);
    total += found?.size ?? 0;
  }
  return total;
}
