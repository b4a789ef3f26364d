/** What every store of blobs does alike: names content by its hash, and checks it. */
import { createHash } from 'node:crypto';
import type { BlobRef } from '../log.ts';

/** Bytes, and the reference to them. */
export interface Content {
  readonly bytes: Uint8Array;
  readonly ref: BlobRef;
}

/** A text, or bytes, with the reference. */
export function toContent(content: string | Uint8Array): Content {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return { bytes, ref: { sha256: hashOf(bytes), bytes: bytes.length } };
}

/** The text again. Throws when there are no bytes, or others than the reference says. */
export function toText(sessionId: string, { sha256 }: BlobRef, bytes: Uint8Array | undefined): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(requireBytes(sessionId, sha256, bytes));
}

/** The bytes. Throws when there are none, or others than their name says. */
export function requireBytes(sessionId: string, sha256: string, bytes: Uint8Array | undefined): Uint8Array {
  if (bytes === undefined) throw new Error(`blob ${sha256} of ${sessionId} is missing`);
  if (hashOf(bytes) !== sha256) throw new Error(`blob ${sha256} of ${sessionId} is damaged`);
  return bytes;
}

/** Throws for what is no id of a session: it becomes the name of a folder. */
export function requireSessionId(sessionId: string): void {
  if (!/^[A-Za-z0-9_-]+$/.test(sessionId)) throw new Error(`not a session id: ${sessionId}`);
}

/** Throws for what is no name of a blob: it becomes the name of a file. */
export function requireSha256(sha256: string): void {
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw new Error(`not the name of a blob: ${sha256}`);
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
