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
  /** How often the session had come to Temporal by then. */
  readonly life: number;
  /** The run of Temporal that wrote it, behind what the session brought along. Undefined: the log engine wrote it. */
  readonly runId: string | undefined;
  /** SHA-256 over the digest of the segment before and its own carriers, in hex. */
  readonly sha256: string;
}

/** A segment's digest, as far as its carriers have been taken in. */
export interface Digest {
  /** The carriers that follow, in order. */
  add(carriers: readonly ArchivedCarrier[]): void;
  /** In hex. Nothing can be added any more. */
  end(): string;
}

/** Starts the digest of a segment. `before`: of the one before; undefined: it is the first. */
export function createDigest(before: string | undefined): Digest {
  const hash = createHash('sha256').update(`${before ?? ''}\n`);
  return {
    add(carriers) {
      for (const { position, timeUs, author, drafts } of carriers)
        hash.update(`${position} ${timeUs} ${author} ${JSON.stringify(drafts)}\n`);
    },
    end: () => hash.digest('hex'),
  };
}
