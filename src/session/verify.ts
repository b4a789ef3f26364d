/** Holds a log in a database against its digests and against itself, and against the histories that are still there. */
import { DamagedLogError, DamagedRowError, SessionGoneError } from '../session.ts';
import { endUs, settle, type ArchivedCarrier, type FinishedRun } from './archive.ts';
import type { Home, Homes } from './home.ts';
import type { Lives } from './moves.ts';
import { createDigest, type Segment } from './segments.ts';
import { pagesOf } from './stretch.ts';

/** What became of a segment. */
export interface CheckedSegment extends Segment {
  /** Whether the database still has what its digest was made of. */
  readonly archive: 'intact' | 'damaged';
  /**
   * Whether the history of its run says the same. `gone`: there is none any more, which is all right. `none`: there never
   * was one, the log engine wrote it.
   */
  readonly history: 'same' | 'differs' | 'gone' | 'none';
}

/** What is not as it was written. */
export interface Damage {
  /** The number of the segment that it is in; undefined: it is behind the last one. */
  readonly segment: number | undefined;
  /** The first position that is known to be damaged; where only a digest tells, the first one of the segment. */
  readonly position: number;
  readonly problem: string;
}

/** What came of a verification. */
export interface Verification {
  /** How long the log is. */
  readonly length: number;
  readonly segments: readonly CheckedSegment[];
  /** The first damage; undefined: there is none. */
  readonly damage: Damage | undefined;
}

/** What is checked with. */
export interface VerifyDeps {
  readonly homes: Homes | undefined;
  readonly lives: Pick<Lives, 'read'> | undefined;
  /**
   * How long a log is whose end is on Temporal.
   *
   * @throws {DamagedLogError | SessionGoneError}
   */
  readonly lengthOf: (sessionId: string) => Promise<number>;
}

/**
 * Checks a session: each segment, that they follow each other, and that nothing is missing behind the last one. Reads in
 * pages, so that no more than a run of it is in memory.
 *
 * @throws {SessionGoneError}
 */
export async function verifySession(deps: VerifyDeps, sessionId: string): Promise<Verification> {
  const { homes, lengthOf } = deps;
  if (!homes) return { length: await lengthOf(sessionId), segments: [], damage: undefined };
  // In this order: the log grows meanwhile, and so do its segments.
  const home = await homes.find(sessionId);
  const known = await homes.segments(sessionId);
  const { segments, damage: inside } = await checkSegments({ ...deps, homes }, sessionId, known);
  const sealed = known.at(-1)?.to ?? 0;
  const behind = home
    ? await checkTail(homes, { sessionId, home, known })
    : await checkHeadless(homes, sessionId);
  let damage = inside ?? behind;
  if (damage && home && !(await isStillThere(homes, sessionId, home)))
    throw new SessionGoneError(`session ${sessionId} was deleted`);
  if (home?.engine === 'log') return { length: Math.max(home.base, sealed), segments, damage };
  let length = home?.base ?? sealed;
  try {
    if (damage === undefined) length = await lengthOf(sessionId);
  } catch (error) {
    if (!(error instanceof DamagedLogError)) throw error;
    damage = { segment: undefined, position: length, problem: error.message };
  }
  return { length, segments, damage };
}

async function isStillThere(homes: Homes, sessionId: string, home: Home): Promise<boolean> {
  const now = await homes.find(sessionId);
  return now !== undefined && !now.isClosing && now.logId === home.logId;
}

/** Where checking stands between two segments. */
interface Before {
  readonly segment: Segment | undefined;
  /** The time of the last entry. */
  readonly lastUs: number;
}

async function checkSegments(
  deps: VerifyDeps & { readonly homes: Homes },
  sessionId: string,
  known: readonly Segment[],
): Promise<{ segments: CheckedSegment[]; damage: Damage | undefined }> {
  const segments: CheckedSegment[] = [];
  let damage: Damage | undefined;
  let before: Before = { segment: undefined, lastUs: 0 };
  for (const segment of known) {
    const { runId } = segment;
    const run = runId === undefined ? undefined : await deps.lives?.read(sessionId, segment.life, runId);
    const own = await checkSegment(deps.homes, { sessionId, segment, run, before });
    const history = runId === undefined ? 'none' : own.history;
    segments.push({ ...segment, archive: own.damage ? 'damaged' : 'intact', history });
    damage ??= own.damage;
    if (history === 'differs')
      damage ??= {
        segment: segment.number,
        position: segment.from,
        problem: `the history of run ${runId} says something else than positions ${segment.from} to ${segment.to - 1}`,
      };
    before = { segment, lastUs: own.lastUs };
  }
  return { segments, damage };
}

interface SegmentToCheck {
  readonly sessionId: string;
  readonly segment: Segment;
  readonly run: FinishedRun | undefined;
  readonly before: Before;
}

async function checkSegment(homes: Homes, { sessionId, segment, run, before }: SegmentToCheck) {
  const { number, from, to } = segment;
  const digest = createDigest(before.segment?.sha256);
  let damage = misplaced(segment, before.segment);
  let { lastUs } = before;
  /** The time of the last entry that the session had brought along to that run. */
  let broughtUs = lastUs;
  const written: ArchivedCarrier[] = [];
  try {
    for await (const page of pagesOf(homes, { sessionId, from, to })) {
      digest.add(page);
      lastUs = endUs(page);
      if (!run) continue;
      broughtUs = endUs(page.filter(({ position }) => position < run.tally.length)) || broughtUs;
      written.push(...page.filter(({ position }) => position >= run.tally.length));
    }
    if (digest.end() !== segment.sha256)
      damage ??= {
        segment: number,
        position: from,
        problem: `the digest of positions ${from} to ${to - 1} is another one`,
      };
  } catch (error) {
    if (!(error instanceof DamagedRowError)) throw error;
    damage ??= { segment: number, position: error.position, problem: error.message };
  }
  return { damage, history: run ? compare(written, run, broughtUs) : ('gone' as const), lastUs };
}

/** What is wrong with where a segment stands. */
function misplaced({ number, from }: Segment, before: Segment | undefined): Damage | undefined {
  const [expected, end] = before ? [before.number + 1, before.to] : [0, 0];
  if (number !== expected)
    return { segment: expected, position: end, problem: `segment ${expected} is missing` };
  if (from === end) return undefined;
  const problem = `segment ${number} begins at ${from}, and what is before it ends at ${end}`;
  return { segment: number, position: end, problem };
}

interface TailToCheck {
  readonly sessionId: string;
  readonly home: Home;
  readonly known: readonly Segment[];
}

/** What is wrong behind the last segment. */
async function checkTail(homes: Homes, { sessionId, home, known }: TailToCheck): Promise<Damage | undefined> {
  const last = known.at(-1);
  const from = last?.to ?? 0;
  if (from < home.sealed) {
    const number = last ? last.number + 1 : 0;
    const problem = `segment ${number} is missing: the log was sealed up to ${home.sealed}`;
    return { segment: number, position: from, problem };
  }
  try {
    for await (const page of pagesOf(homes, { sessionId, from, to: home.base })) void page;
    return undefined;
  } catch (error) {
    if (!(error instanceof DamagedRowError)) throw error;
    return { segment: undefined, position: error.position, problem: error.message };
  }
}

/** Of a session that was born on Temporal nothing need be in the database; but then nothing must be. */
async function checkHeadless(homes: Homes, sessionId: string): Promise<Damage | undefined> {
  const [first] = await homes.read(sessionId, 0, 1);
  return (
    first && {
      segment: undefined,
      position: 0,
      problem: 'the row that says where the session lives is missing',
    }
  );
}

/** `beforeUs`: the time of the last entry before what the run wrote. */
function compare(
  carriers: readonly ArchivedCarrier[],
  { tally, carriers: written }: FinishedRun,
  beforeUs: number,
): 'same' | 'differs' {
  return isSame(carriers, settle(written, { tally, lastUs: beforeUs })) ? 'same' : 'differs';
}

function isSame(left: readonly ArchivedCarrier[], right: readonly ArchivedCarrier[]): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
