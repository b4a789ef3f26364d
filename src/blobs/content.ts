/** What every store of blobs does alike: names content by its hash, and checks it. */
import { createHash } from 'node:crypto';
import type { BlobRef } from '../log.ts';

/** A text as bytes, and the reference to it. */
export function toContent(text: string): { readonly bytes: Buffer; readonly ref: BlobRef } {
  const bytes = Buffer.from(text);
  return { bytes, ref: { sha256: hashOf(bytes), bytes: bytes.length } };
}

/** The text again. Throws when there are no bytes, or others than the reference says. */
export function toText(sessionId: string, { sha256 }: BlobRef, bytes: Uint8Array | undefined): string {
  if (bytes === undefined) throw new Error(`blob ${sha256} of ${sessionId} is missing`);
  if (hashOf(bytes) !== sha256) throw new Error(`blob ${sha256} of ${sessionId} is damaged`);
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

/** Throws for what is no id of a session: it becomes the name of a folder. */
export function requireSessionId(sessionId: string): void {
  if (!/^[A-Za-z0-9_-]+$/.test(sessionId)) throw new Error(`not a session id: ${sessionId}`);
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
