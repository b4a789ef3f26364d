/** What becomes of the sandboxes when the server is stopped in order: they are suspended, and resumed when needed. */
import { orAborted } from './abort.ts';

/** The end of the sandboxes, in two steps, so that other processes can be stopped meanwhile. */
export interface SandboxEnd {
  /** To be called when no worker runs any more. */
  begin(): void;
  /** Resolves when the sandboxes are stopped or the time is up. Never rejects: the server has to end. */
  done(): Promise<void>;
}

/** More than the proxy and the model are given together would make the whole stop longer. */
const WITHIN_MS = 2500;

/** Makes the steps. What cannot be stopped in time is told to `log` and goes on running. */
export function createSandboxEnd(
  dataDir: string,
  log: (line: string) => void,
  withinMs = WITHIN_MS,
): SandboxEnd {
  let ending: Promise<void> | undefined;
  return {
    begin() {
      const signal = AbortSignal.timeout(withinMs);
      ending ??= orAborted(suspend(dataDir, signal), signal).catch((error: unknown) =>
        log(`some sandboxes were not stopped: ${error instanceof Error ? error.message : String(error)}`),
      );
    },
    done: async () => await ending,
  };
}

/** Loaded late: a supervisor that runs needs none of it. */
async function suspend(dataDir: string, signal: AbortSignal): Promise<void> {
  const { suspendHands } = await import('../hands/suspend.ts');
  await suspendHands(dataDir, signal);
}
