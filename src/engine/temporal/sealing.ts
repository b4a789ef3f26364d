/** Runs that are over, as the archive takes them in: each exactly once, in order, by whoever comes first. */
import { NOTHING_WRITTEN } from '../../log.ts';
import { DamagedLogError, SessionGoneError } from '../../session.ts';
import { settle, type FinishedRun, type WrittenCarrier } from '../../session/archive.ts';
import { BORN_ON_TEMPORAL, type Home, type Homes } from '../../session/home.ts';
import { createHistoryChain, type HistoryPages } from './history-chain.ts';

/** What sealing takes. */
export interface SealingDeps {
  readonly homes: Homes;
  /** The histories of one life. */
  readonly pagesOf: (sessionId: string, life: number) => HistoryPages;
}

/**
 * Puts all runs of a life that are over into the archive. Answers whether there is such a life: its histories may be
 * gone. Safe to repeat, and to be done by several at once.
 */
export async function sealRuns(
  { homes, pagesOf }: SealingDeps,
  sessionId: string,
  life: number,
): Promise<boolean> {
  const pages = pagesOf(sessionId, life);
  for (;;) {
    const home = (await homes.find(sessionId)) ?? BORN_ON_TEMPORAL;
    if (home.engine !== 'temporal' || home.life !== life || home.isClosing || home.isSealed) return true;
    try {
      const runId = home.nextRunId ?? (await pages.firstRunId());
      const newest = await pages.head();
      if (newest.runId === runId && !newest.isOver) return true;
      const run = await readRun(pages, runId);
      if (!(await sealRun(homes, sessionId, home, run)) && !(await hasMovedOn(homes, sessionId, home)))
        return true;
    } catch (error) {
      if (error instanceof SessionGoneError) return false;
      throw error;
    }
  }
}

async function sealRun(homes: Homes, sessionId: string, home: Home, run: FinishedRun): Promise<boolean> {
  const { life, base, lastUs, nextRunId: after } = home;
  const { runId, nextRunId, tally } = run;
  if (tally.length !== base)
    throw new DamagedLogError(
      `the archive of ${sessionId} ends at ${base}, and the run ${runId} begins at ${tally.length}`,
    );
  const carriers = settle(run.carriers, { tally, lastUs });
  return await homes.seal(sessionId, { life, after, runId, nextRunId, base, carriers });
}

/** Reads a run that is over from its beginning to its end. */
export async function readRun(pages: HistoryPages, runId: string): Promise<FinishedRun> {
  const chain = createHistoryChain(pages, runId);
  const carriers: WrittenCarrier[] = [];
  const { signal } = new AbortController();
  let tally = NOTHING_WRITTEN;
  while (chain.runId === runId && !chain.closed) {
    const page = await chain.next(signal);
    tally = page.tally ?? tally;
    carriers.push(...page.carriers);
  }
  return { runId, tally, carriers, nextRunId: chain.closed ? undefined : chain.runId };
}

async function hasMovedOn(homes: Homes, sessionId: string, before: Home): Promise<boolean> {
  const now = await homes.find(sessionId);
  return now !== undefined && (now.base !== before.base || now.nextRunId !== before.nextRunId);
}
