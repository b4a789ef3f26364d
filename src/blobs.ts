/** Port: blobs, content too heavy for a carrier, kept per session under its SHA-256. */
import type { BlobRef } from './log.ts';

/** The port. Implementations: `blobs/folder.ts`, `blobs/sql.ts`. */
export interface Blobs {
  /** Keeps a text durably. The same text twice is kept once. */
  put(sessionId: string, text: string): Promise<BlobRef>;
  /** Reads it back; throws when it is missing or is not what the reference says. */
  get(sessionId: string, ref: BlobRef): Promise<string>;
  /** Erases all of a session's. Idempotent. */
  removeAll(sessionId: string): Promise<void>;
}
