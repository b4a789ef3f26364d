/** Port: blobs, content too heavy for a carrier or of files, kept per session under its SHA-256. */
import type { BlobRef } from './log.ts';

/** The port. Implementations: `blobs/folder.ts`, `blobs/sql.ts`. */
export interface Blobs {
  /** Keeps a text durably. The same text twice is kept once. */
  put(sessionId: string, text: string): Promise<BlobRef>;
  /** Reads it back; throws when it is missing or is not what the reference says. */
  get(sessionId: string, ref: BlobRef): Promise<string>;
  /** Keeps bytes, under what `put` would call them. Durable, all of them, when it resolves; each may be there before. */
  putBytes(sessionId: string, contents: readonly Uint8Array[]): Promise<void>;
  /** Reads bytes back; throws as `get` does. */
  getBytes(sessionId: string, sha256: string): Promise<Uint8Array>;
  /** Which of these a session has. */
  has(sessionId: string, sha256s: readonly string[]): Promise<ReadonlySet<string>>;
  /** Gives what one session has of these to another one, which keeps it when the first is removed. Idempotent. */
  copy(fromId: string, toId: string, sha256s: readonly string[]): Promise<void>;
  /** Erases all of a session's. Idempotent. */
  removeAll(sessionId: string): Promise<void>;
}
