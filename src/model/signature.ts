/**
 * Signatures of thinking blocks. A signature can be checked without any state: it carries a hash of the text that
 * the client was shown, so that a harness that alters, drops or swaps thinking is found out, also after a restart.
 */
import { createHash } from 'node:crypto';

const MARK = 'drover-scripted';

/** Signs a thinking block. `shown` is what the client gets to see: empty where the request asks to omit it. */
export function signThinking(thought: string, shown: string): string {
  const salt = digest(thought).slice(0, 16);
  return Buffer.from(`${MARK}.${salt}.${digest(`${salt}:${shown}`)}`).toString('base64');
}

/** Whether this model gave this signature for exactly this text. */
export function isSignatureOf(shown: string, signature: string): boolean {
  const [mark, salt, hash] = Buffer.from(signature, 'base64').toString('utf8').split('.');
  return mark === MARK && salt !== undefined && hash === digest(`${salt}:${shown}`);
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
