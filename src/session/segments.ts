/** Segments of an archive: each is sealed by a digest that covers it and, through the one before, all that came earlier. */
import { createHash } from 'node:crypto';
import type { ArchivedCarrier } from './archive.ts';

/** A stretch of an archived log. */
export interface Segment {
  /** From 0, without holes. */
  readonly number: number;
  /** The first position. */
  readonly from: number;
  /** Behind the last position. */
  readonly to: number;
  /** The run of Temporal that wrote it, behind what the session brought along. */
  readonly life: number;
  readonly runId: string;
  /** SHA-256 over the digest of the segment before and its own carriers, in hex. */
  readonly sha256: string;
}

/** The digest of a segment. `before`: of the one before; undefined: it is the first. */
export function digestOf(before: string | undefined, carriers: readonly ArchivedCarrier[]): string {
  const hash = createHash('sha256').update(`${before ?? ''}\n`);
  for (const { position, timeUs, author, drafts } of carriers)
    hash.update(`${position} ${timeUs} ${author} ${JSON.stringify(drafts)}\n`);
  return hash.digest('hex');
}
