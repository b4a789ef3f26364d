/** Holds an archive against its digests, and against the histories that are still there. */
import { endUs, readCarriers, settle, type ArchivedCarrier, type FinishedRun } from './archive.ts';
import { DamagedLogError } from '../session.ts';
import type { Homes } from './home.ts';
import type { Lives } from './moves.ts';
import { digestOf, type Segment } from './segments.ts';

/** What became of a segment. */
export interface CheckedSegment extends Segment {
  /** Whether the archive still has what its digest was made of. */
  readonly archive: 'intact' | 'damaged';
  /** Whether the history of its run says the same. `gone`: there is none any more, which is all right. */
  readonly history: 'same' | 'differs' | 'gone';
}

/** What is checked with. */
export interface VerifyDeps {
  readonly homes: Homes | undefined;
  readonly lives: Pick<Lives, 'read'> | undefined;
}

/** Checks all segments of a session, oldest first. */
export async function verifySegments(
  { homes, lives }: VerifyDeps,
  sessionId: string,
): Promise<CheckedSegment[]> {
  if (!homes) return [];
  const checked: CheckedSegment[] = [];
  let before: Segment | undefined;
  let lastUs = 0;
  for (const segment of await homes.segments(sessionId)) {
    const carriers = await orDamaged(readCarriers(homes, sessionId, segment.from, segment.to));
    const follows = segment.number === checked.length && segment.from === (before?.to ?? 0);
    const isIntact =
      follows && carriers !== undefined && digestOf(before?.sha256, carriers) === segment.sha256;
    const run = await lives?.read(sessionId, segment.life, segment.runId);
    const history = run ? compare(carriers ?? [], run, lastUs) : 'gone';
    checked.push({ ...segment, archive: isIntact ? 'intact' : 'damaged', history });
    before = segment;
    lastUs = endUs(carriers ?? []) || lastUs;
  }
  return checked;
}

/** The segment may begin with what the session brought along. `beforeUs`: the time of the last entry before it. */
function compare(
  carriers: readonly ArchivedCarrier[],
  { tally, carriers: written }: FinishedRun,
  beforeUs: number,
): CheckedSegment['history'] {
  const brought = carriers.filter(({ position }) => position < tally.length);
  const settled = settle(written, { tally, lastUs: endUs(brought) || beforeUs });
  return isSame(carriers.slice(brought.length), settled) ? 'same' : 'differs';
}

async function orDamaged(reading: Promise<ArchivedCarrier[]>): Promise<ArchivedCarrier[] | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof DamagedLogError) return undefined;
    throw error;
  }
}

function isSame(left: readonly ArchivedCarrier[], right: readonly ArchivedCarrier[]): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
