/** Copies of a log: what another session begins with, here or on another server. Pure. */
import { isQueuedType, type Author, type Draft, type Entry } from '../log.ts';
import { decide } from '../loop.ts';
import { foldView } from '../view.ts';
import { parseMicros } from '../wire/time.ts';
import type { WrittenCarrier } from './archive.ts';

/** An entry as it was written: where a log is made of these, it is the same log. */
export interface CopiedEntry {
  readonly author: Author;
  readonly timeUs: number;
  readonly draft: Draft;
}

/** Entries, from the first one on, as they were written. What was queued has the time of the entry before it. */
export function copyEntries(entries: readonly Entry[]): CopiedEntry[] {
  let lastUs = 0;
  return entries.map((entry) => {
    const { event, position: _, ...rest } = entry;
    const { processed_at: at, ...body } = event;
    lastUs = at === null ? lastUs + 1 : parseMicros(at);
    const isTakenUp = isQueuedType(event.type) && at !== null;
    const author = at === null || (event.type.startsWith('user.') && !isTakenUp) ? 'client' : 'server';
    const draft: Draft = isTakenUp ? { processed: event.id } : { event: body as typeof event, ...rest };
    return { author, timeUs: lastUs, draft };
  });
}

/** Carriers of copied entries, one each. */
export function toCarriers(copied: readonly CopiedEntry[]): WrittenCarrier[] {
  return copied.map(({ draft, ...rest }) => ({ ...rest, drafts: [draft] }));
}

/** Where a fork comes from, and how it is to go on. */
export interface ForkRequest {
  readonly from: string;
  /** Whether what was under way at that position is begun anew; else it is closed as by an interrupt. */
  readonly resume: boolean;
  /** What its first hand begins with; left out: empty. */
  readonly workspace?: ForkedSnapshot;
  readonly newId: () => string;
  readonly nowUs: number;
}

/** A snapshot that a fork has of its own. */
export interface ForkedSnapshot {
  readonly id: string;
  readonly bytes: number;
  readonly addedBytes: number;
}

/** Says where a log before it comes from: its hand is not this session's. */
export function markOf({
  newId,
  from,
  position,
  workspace,
  nowUs,
}: Pick<ForkRequest, 'newId' | 'from' | 'workspace' | 'nowUs'> & {
  readonly position: number;
}): WrittenCarrier {
  const files = workspace && {
    snapshot: workspace.id,
    bytes: workspace.bytes,
    added_bytes: workspace.addedBytes,
  };
  const event = { id: newId(), type: 'x.session_forked', session_id: from, position, ...files } as const;
  return { author: 'server', timeUs: nowUs, drafts: [{ event }] };
}

/** The log of a fork: the entries given, the mark of where they come from, and what brings it to rest where need be. */
export function forkOf(entries: readonly Entry[], request: ForkRequest): WrittenCarrier[] {
  const { resume, newId, nowUs } = request;
  const mark = markOf({ ...request, position: entries.length });
  const carriers = [...toCarriers(copyEntries(entries)), mark];
  const { loop } = foldView(undefined, entries);
  if (resume || decide(loop) === undefined) return carriers;
  const interrupt = { event: { id: newId(), type: 'user.interrupt' } } as const;
  return [...carriers, { author: 'client', timeUs: nowUs, drafts: [interrupt] }];
}
