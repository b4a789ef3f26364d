/**
 * What of the log stands in the context window: a view, made anew for each request and always the same for the same
 * log. Pure. Nothing here changes the log; what is left out can be read back with the tool of `recall.ts`.
 */
import { promptTokens, type Compaction, type ContextPolicy, type Entry } from '../log.ts';
import { answeredBy, type Cleared } from './messages.ts';

/** After a clearing, the window must grow by this part of the threshold before the next: each one costs the cache. */
const REGROWTH = 0.25;

/** The part of a log that a request is made of. */
export interface Window {
  /** What stands for everything before `entries`; undefined: nothing is before them. */
  readonly summary: Compaction | undefined;
  readonly entries: readonly Entry[];
  readonly cleared: Cleared;
}

/** The window at the end of `entries`, which start at position 0. `whole`: as if nothing had been summed up. */
export function windowOf(
  entries: readonly Entry[],
  policy: Pick<ContextPolicy, 'clearAtTokens' | 'keepResults'>,
  whole = false,
): Window {
  const summary = whole ? undefined : entries.findLast(({ extra }) => extra?.compaction)?.extra?.compaction;
  const rest = summary ? entries.filter(({ position }) => position > summary.through) : entries;
  return { summary, entries: rest, cleared: clearedOf(rest, policy) };
}

/**
 * Which results are cleared. What the model reported of each request decides, so that clearing happens at the same
 * places whenever the log is read, and what has been cleared stays so: between two clearings the prompt only grows.
 */
function clearedOf(
  entries: readonly Entry[],
  { clearAtTokens, keepResults }: Pick<ContextPolicy, 'clearAtTokens' | 'keepResults'>,
): Cleared {
  if (clearAtTokens === 0) return new Map();
  const notes = new Map<string, string>();
  let clearedCount = 0;
  let threshold = clearAtTokens;
  let tokens = 0;
  let isFirstSince = false;
  const consider = (): void => {
    const clearable = notes.size - keepResults;
    if (tokens < threshold || clearable <= clearedCount) return;
    clearedCount = clearable;
    isFirstSince = true;
  };
  for (const entry of entries) {
    note(notes, entry);
    if (entry.event.type === 'span.model_request_start') consider();
    const used = answeredPrompt(entry);
    if (used === 0) continue;
    tokens = used;
    if (isFirstSince) threshold = Math.max(clearAtTokens, tokens + clearAtTokens * REGROWTH);
    isFirstSince = false;
  }
  consider();
  return new Map([...notes].slice(0, clearedCount));
}

/** Clears every result there is: for a prompt that is too long whatever else is done. */
export function clearAll(entries: readonly Entry[]): Cleared {
  const notes = new Map<string, string>();
  for (const entry of entries) note(notes, entry);
  return notes;
}

/** Notes what would stand in a result's place; the first result of a call is the one that counts. */
function note(notes: Map<string, string>, { event, position }: Entry): void {
  if (event.type !== 'agent.tool_result' && event.type !== 'user.custom_tool_result') return;
  const id = answeredBy(event);
  if (notes.has(id)) return;
  notes.set(
    id,
    `[Cleared to save space. The result is in the log of this session, at position ${position}.]`,
  );
}

/** How long the prompt of an answer was; 0 for everything else. */
function answeredPrompt({ event, extra }: Entry): number {
  if (event.type !== 'span.model_request_end' || extra?.outcome?.stop === 'compacted') return 0;
  return promptTokens(event.model_usage);
}
