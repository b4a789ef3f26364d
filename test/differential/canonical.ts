/**
 * Brings what was read of a conversation into a form that is the same for every server that did the same: ids by the
 * order in which they appear, times by their presence, and results whose order is free in the order of their calls.
 */
import type { Entry } from '../../src/log.ts';
import { INTERRUPTED } from '../../src/loop.ts';
import type { Transcript } from './play.ts';
import { JUDGE_MODEL } from './side.ts';

/** The parts that are compared between two servers, in the order in which they are. */
export type Part = 'log' | 'answers' | 'requests';

/** A conversation in its canonical form. */
export type Canonical = Readonly<Record<Part, readonly unknown[]>>;

const IDS = /\b(?:agent|env|sesn|sevt|sthr|req|wrkspc|msg|toolu)_01[1-9A-HJ-NP-Za-km-z]{22}\b/g;
const HANDS = /\b[0-9a-f]{24}-[0-9a-f]{12}\b/g;
const TIMES: ReadonlySet<string> = new Set(['processed_at', 'created_at', 'updated_at', 'archived_at']);
const DURATIONS: ReadonlySet<string> = new Set(['active_seconds', 'duration_seconds']);

/** How canonical forms are made. */
export interface CanonicalOptions {
  /** Leaves out how the operator has set the server up: for servers that are set up differently on purpose. */
  readonly withoutSettings?: boolean;
}

/** Makes it. The log comes first, so that ids have its numbers everywhere. */
export function toCanonical(transcript: Transcript, { withoutSettings }: CanonicalOptions = {}): Canonical {
  const rename = createNames();
  const entries = inCallOrder(transcript.entries)
    .map(withoutStorage)
    .map(withoutCutOffJudge)
    .map((entry) => (withoutSettings ? withoutPolicy(entry) : withoutFiles(entry)));
  return {
    log: entries.map((entry) => rename(entry)),
    answers: transcript.outcomes.map((outcome) => withoutVisibility(rename(outcome))),
    requests: transcript.requests.map((request) => rename(request)),
  };
}

/** Whether a result shows in the log by the time at which it is answered depends on how busy the server is. */
function withoutVisibility(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutVisibility);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, withoutVisibility(inner)] as const);
  const copy = Object.fromEntries(entries);
  return copy['type'] === 'user.custom_tool_result' ? { ...copy, processed_at: 'a time or null' } : copy;
}

function createNames(): (value: unknown) => unknown {
  const names = new Map<string, string>();
  const counts = new Map<string, number>();
  const nameOf = (id: string): string => {
    const known = names.get(id);
    if (known !== undefined) return known;
    const kind = id.includes('_') ? id.slice(0, id.indexOf('_')) : 'hand';
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    names.set(id, `${kind}#${count}`);
    return `${kind}#${count}`;
  };
  const rename = (value: unknown, key = ''): unknown => {
    if (typeof value === 'string') {
      if (TIMES.has(key)) return 'a time';
      return value.replaceAll(IDS, nameOf).replaceAll(HANDS, nameOf);
    }
    if (typeof value === 'number') return DURATIONS.has(key) ? 'a duration' : value;
    if (Array.isArray(value)) return value.map((item) => rename(item));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, rename(inner, name)]));
  };
  return rename;
}

/** Whether the judge had begun to answer when the interrupt came, nobody can see. */
function withoutCutOffJudge(entry: Entry): Entry {
  const { extra } = entry;
  if (extra?.outcome?.stop !== 'interrupted' || !extra.charges) return entry;
  return {
    ...entry,
    extra: { ...extra, charges: extra.charges.filter(({ model }) => model !== JUDGE_MODEL) },
  };
}

/** Where content is kept is an engine's own business. */
function withoutStorage(entry: Entry): Entry {
  const { blob: _, ...rest } = entry;
  return rest;
}

/** What a hand's files were depends on what else ran in it at that moment, and whether they were kept on the disk. */
function withoutFiles(entry: Entry): object {
  const { event, ...rest } = entry;
  if (event.type !== 'x.hand_snapshot') return entry;
  const { id, type, hand_id, tool_use_id, processed_at } = event;
  return { ...rest, event: { id, type, hand_id, tool_use_id, processed_at } };
}

function withoutPolicy(entry: Entry): object {
  if (entry.event.type !== 'x.session_created') return withoutFiles(entry);
  const { policy: _, ...event } = entry.event;
  return { ...entry, event };
}

/**
 * Puts results into the order of their calls where nothing determines another one: those of calls of one answer that
 * ran at the same time, which stand in the log side by side, each with the note of its snapshot behind it. Calls that wait for the test to let them end are not
 * moved, unless an interrupt ended them.
 */
export function inCallOrder(entries: readonly Entry[]): Entry[] {
  const calls = new Map<string, { rank: number; isGated: boolean }>();
  const ordered = [...entries];
  entries.forEach(({ event }, rank) => {
    if (event.type !== 'agent.tool_use') return;
    calls.set(event.id, { rank, isGated: JSON.stringify(event.input).includes('until [ -e') });
  });
  const interrupted = new Set<string>();
  for (const { event } of entries) {
    if (event.type !== 'agent.tool_result') continue;
    const [block] = event.content ?? [];
    if (block?.type === 'text' && block.text === INTERRUPTED) interrupted.add(event.tool_use_id);
  }
  const rankOf = ({ event }: Entry): number | undefined => {
    if (event.type !== 'agent.tool_result' && event.type !== 'x.hand_snapshot') return undefined;
    const called = calls.get(event.tool_use_id);
    const isFree = called !== undefined && (!called.isGated || interrupted.has(event.tool_use_id));
    return isFree ? called.rank : undefined;
  };
  for (let from = 0; from < ordered.length;) {
    let to = from;
    while (to < ordered.length && ordered[to] && rankOf(ordered[to] as Entry) !== undefined) to += 1;
    const run = ordered.slice(from, to).sort((left, right) => (rankOf(left) ?? 0) - (rankOf(right) ?? 0));
    run.forEach((entry, at) => {
      // The place stays what it was; only what stands there changes.
      const { position, event } = ordered[from + at] as Entry;
      const moved = { ...entry.event, processed_at: event.processed_at };
      run[at] = { ...entry, position, event: moved };
    });
    ordered.splice(from, run.length, ...run);
    from = Math.max(to, from + 1);
  }
  return ordered;
}
