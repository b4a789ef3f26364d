/** Runs a foreign tool to its end. */
import { spawn } from 'node:child_process';
import process from 'node:process';

const LAST_WORDS = 2000;

/**
 * Resolves when the tool ended well; rejects with its last words when it did not. Aborting ends it and all that it
 * started, and rejects with the signal's reason.
 */
export async function runTool(
  program: string,
  args: readonly string[],
  options: { readonly env: NodeJS.ProcessEnv; readonly signal: AbortSignal },
): Promise<void> {
  options.signal.throwIfAborted();
  const child = spawn(program, args, { env: options.env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let words = '';
  const listen = (chunk: string) => {
    words = (words + chunk).slice(-LAST_WORDS);
  };
  child.stdout.setEncoding('utf8').on('data', listen);
  child.stderr.setEncoding('utf8').on('data', listen);
  const end = () => {
    // The whole group: a compiler does its work in children of its own.
    if (child.pid !== undefined && child.exitCode === null) killGroup(child.pid);
  };
  options.signal.addEventListener('abort', end, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        if (code === 0) resolve();
        else if (options.signal.aborted) reject(options.signal.reason as Error);
        else reject(new Error(words.trim() || `ended with ${signal ?? `exit code ${code}`}`));
      });
    });
  } finally {
    options.signal.removeEventListener('abort', end);
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
