/** Breaks a connection to a client, as a network does: what was written before still arrives, the end never does. */
import { setImmediate, setTimeout } from 'node:timers/promises';

const POLL_MS = 2;
const PATIENCE_MS = 1_000;

/** The part of a server response that breaking it needs. */
export interface Breakable {
  readonly headersSent: boolean;
  readonly writableLength: number;
  readonly destroyed: boolean;
  destroy(): unknown;
}

/** Breaks the connection once all that was written has left, or after a second with a client that does not read. */
export async function breakConnection(outgoing: Breakable): Promise<void> {
  const until = performance.now() + PATIENCE_MS;
  await setImmediate();
  while (isWaiting(outgoing) && performance.now() < until) await setTimeout(POLL_MS);
  outgoing.destroy();
}

function isWaiting({ headersSent, writableLength, destroyed }: Breakable): boolean {
  return !destroyed && (!headersSent || writableLength > 0);
}
