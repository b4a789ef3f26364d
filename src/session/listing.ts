/** What is read of a log: the wire's event list (current forms, filters, keyset paging), and slices by position. Pure. */
import { isHidden } from '../log.ts';
import type { EventQuery, ListKey, Slice } from '../session.ts';
import { parseMicros } from '../wire/time.ts';
import type { LogIndex } from './log-index.ts';

/** Where the entries of a page stand. */
export interface SelectedPage {
  readonly positions: readonly number[];
  /** The key to go on after, undefined on the last page. */
  readonly next: ListKey | undefined;
}

/**
 * Picks one page of the list: each event once, in its current form. What is still queued comes behind all that has been
 * processed (wire-api 11.3).
 */
export function selectEvents(index: LogIndex, query: EventQuery): SelectedPage {
  const { order, after, limit } = query;
  const matches = createFilter(index, query);
  const positions: number[] = [];
  const all = order === 'asc' ? ascending(index, after) : descending(index, after);
  for (const position of all) {
    if (!matches(position)) continue;
    if (positions.length < limit) positions.push(position);
    else return { positions, next: keyOf(index, positions.at(-1) ?? 0) };
  }
  return { positions, next: undefined };
}

/** Picks a slice. `through`: the position of the event that it is to end with. */
export function selectSlice(
  index: LogIndex,
  { from = 0, to = index.length, order, types, limit = Number.POSITIVE_INFINITY }: Slice,
  through?: number,
): number[] {
  const end = Math.min(through === undefined ? to : through + 1, index.length);
  const isWanted = types ? index.among(types) : () => true;
  const positions: number[] = [];
  const [first, step] = order === 'desc' ? [end - 1, -1] : [from, 1];
  for (let at = first; at >= from && at < end && positions.length < limit; at += step)
    if (isWanted(at)) positions.push(at);
  return positions;
}

function keyOf(index: LogIndex, position: number): ListKey {
  return { queued: index.timeUsAt(position) === undefined, position, length: index.length };
}

/** What was written since the last page stands in front of a queued key, and must not be lost. */
function* ascending(index: LogIndex, after: ListKey | undefined): Iterable<number> {
  const first = after?.queued ? after.length : (after?.position ?? -1) + 1;
  for (let at = first; at < index.length; at += 1) if (index.timeUsAt(at) !== undefined) yield at;
  yield* index.waiting().filter((at) => !after?.queued || at > after.position);
}

function* descending(index: LogIndex, after: ListKey | undefined): Iterable<number> {
  const isBehind = (at: number): boolean => !after || (after.queued && at < after.position);
  yield* index.waiting().filter(isBehind).toReversed();
  const last = after && !after.queued ? after.position - 1 : index.length - 1;
  for (let at = last; at >= 0; at -= 1) if (index.timeUsAt(at) !== undefined) yield at;
}

function createFilter(
  index: LogIndex,
  { types, createdAt = {} }: Pick<EventQuery, 'types' | 'createdAt'>,
): (position: number) => boolean {
  const isOfTypes = types ? index.among(types.filter((type) => !isHidden({ type }))) : undefined;
  const isShown = isOfTypes ?? ((at: number) => !isHidden({ type: index.typeAt(at) }));
  const bound = (text: string | undefined, otherwise: number): number =>
    text === undefined ? otherwise : parseMicros(text);
  const { gt, gte, lt, lte } = createdAt;
  if ([gt, gte, lt, lte].every((text) => text === undefined)) return isShown;
  const least = Math.max(bound(gt, Number.NEGATIVE_INFINITY) + 1, bound(gte, Number.NEGATIVE_INFINITY));
  const most = Math.min(bound(lt, Number.POSITIVE_INFINITY) - 1, bound(lte, Number.POSITIVE_INFINITY));
  return (position) => {
    const timeUs = index.timeUsAt(position);
    return timeUs !== undefined && timeUs >= least && timeUs <= most && isShown(position);
  };
}
