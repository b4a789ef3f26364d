/**
 * Seals what is written here into segments, behind the turns: when a session rests, and by a sweep for what nobody came
 * to. What is sealed never changes any more, so it is read without a lock; writing the segment down is what only one
 * can do. Whoever dies before that has done nothing.
 */
import { LRUCache } from 'lru-cache';
import type { Logger } from '../../log-line.ts';
import { messageOf } from '../../operations.ts';
import { startRepeating } from '../../repeat.ts';
import { DamagedLogError } from '../../session.ts';
import { createDigest, type Segment } from '../../session/segments.ts';
import { pagesOf } from '../../session/stretch.ts';
import type { RestingLog } from './driver.ts';
import { isSealable, type Head, type LogStore, type OwnSegment } from './store.ts';

/** What sealing takes. */
export interface SealingDeps {
  readonly store: LogStore;
  /** From so many entries on, what is behind the last segment becomes one; what a session that is over has left always does. */
  readonly entries: number;
  readonly log: Logger;
}

/** The sealing of a process. */
export interface Sealing {
  /** A session rests, or is over. Returns at once. */
  rests(log: RestingLog, isOver: boolean): void;
  /** Resolves when nothing is under way any more. */
  stop(): Promise<void>;
}

const SWEEP_EVERY_MS = 60_000;
/** Heads that are looked at in one statement. */
const HEADS = 1000;
const SESSIONS_KNOWN = 5000;

/** Starts to seal. */
export function startSealing({ store, entries, log }: SealingDeps): Sealing {
  /** Heads as they were after sealing. Of a session that was made anew, that of its last log may be here still. */
  const known = new LRUCache<string, Pick<Head, 'logId' | 'sealed'>>({ max: SESSIONS_KNOWN });
  const wanted = new Set<string>();
  let working: Promise<void> | undefined;
  const stopping = new AbortController();

  async function work(): Promise<void> {
    for (const id of wanted) {
      wanted.delete(id);
      if (stopping.signal.aborted) break;
      try {
        const head = await sealOwn(store, id, entries);
        if (head) known.set(id, head);
      } catch (error) {
        const fields = { session: id, error: messageOf(error) };
        log.warn('a session could not be sealed; it will be tried again', fields);
      }
    }
    working = undefined;
  }

  function want(id: string): void {
    if (stopping.signal.aborted) return;
    wanted.add(id);
    working ??= work();
  }

  async function sweep(): Promise<void> {
    for (let after: string | undefined = ''; after !== undefined && !stopping.signal.aborted;) {
      const { ids, last } = await store.unsealed({ after, among: HEADS, entries });
      for (const id of ids) want(id);
      await working;
      after = last;
    }
  }

  const sweeping = startRepeating(sweep, SWEEP_EVERY_MS, (error) =>
    log.warn('sessions to seal could not be looked for; it will be tried again', { error: messageOf(error) }),
  );

  return {
    rests({ sessionId, logId, length }, isOver) {
      const head = known.get(sessionId);
      const sealed = head?.logId === logId ? head.sealed : 0;
      if (isOver || length - sealed >= entries) want(sessionId);
    },
    async stop() {
      stopping.abort();
      sweeping.stop();
      await working;
    },
  };
}

/**
 * Seals all that is to be sealed of a session now, in segments of about so many entries. Answers its head as it is then,
 * if it has one. Safe to repeat, and to be done by several at once.
 *
 * @throws {DamagedLogError} where the log is not what was written: that is never sealed
 */
export async function sealOwn(
  store: LogStore,
  sessionId: string,
  entries: number,
): Promise<Head | undefined> {
  for (;;) {
    const head = await store.head(sessionId);
    if (!head) return undefined;
    const left = head.length - head.sealed;
    if (!isSealable(head) || left < (head.state === 'terminated' ? 1 : entries)) return head;
    const before = (await store.segments(sessionId)).at(-1);
    const end = before?.to ?? 0;
    if (end === head.sealed) {
      // Where this is refused, somebody else was quicker, or the session is elsewhere by now.
      await store.sealOwn(sessionId, await readSegment(store, { sessionId, head, before, entries }));
    } else if ((await store.head(sessionId))?.sealed === head.sealed) {
      throw new DamagedLogError(`the segments end at ${end}, and the log is sealed up to ${head.sealed}`);
    }
  }
}

interface Reading {
  readonly sessionId: string;
  readonly head: Head;
  readonly before: Segment | undefined;
  readonly entries: number;
}

async function readSegment(
  store: LogStore,
  { sessionId, head, before, entries }: Reading,
): Promise<OwnSegment> {
  const { sealed: from, lives: life, logId } = head;
  const digest = createDigest(before?.sha256);
  let to = from;
  for await (const page of pagesOf(store, { sessionId, from, to: head.length })) {
    const missing = entries - (to - from);
    const taken = page.filter(({ position }) => position < to + missing);
    digest.add(taken);
    to += taken.reduce((sum, { drafts }) => sum + drafts.length, 0);
    if (to - from >= entries) break;
  }
  return { number: before ? before.number + 1 : 0, from, to, life, sha256: digest.end(), logId };
}
