/** What is read of a log: the wire's event list (current forms, filters, keyset paging), and slices by position. Pure. */
import { currentForms, isHidden, type Entry } from '../log.ts';
import type { EventPage, EventQuery, ListKey, Slice } from '../session.ts';

/** Picks one page. The key of an entry: queued ones sort behind all others, then by position. */
export function selectEvents(entries: readonly Entry[], query: EventQuery): EventPage {
  const { order, after, limit } = query;
  const forms = currentForms(entries);
  if (order === 'desc') forms.reverse();
  const rest = forms.filter((entry) => matches(entry, query) && (!after || isBehind(entry, after, order)));
  const page = rest.slice(0, limit);
  const last = page.at(-1);
  const key = last && { queued: isQueued(last), position: last.position, length: entries.length };
  return { entries: page, next: rest.length > page.length ? key : undefined };
}

/** Picks a slice. */
export function selectSlice(
  entries: readonly Entry[],
  { from = 0, to, order, types, limit, throughId }: Slice,
): Entry[] {
  const end =
    throughId === undefined
      ? (to ?? entries.length)
      : entries.findLastIndex(({ event }) => event.id === throughId) + 1;
  const slice = entries.slice(from, end).filter(({ event }) => !types || types.includes(event.type));
  return (order === 'desc' ? slice.reverse() : slice).slice(0, limit);
}

function isBehind(entry: Entry, after: ListKey, order: EventQuery['order']): boolean {
  const queued = isQueued(entry);
  const rank = Number(queued) - Number(after.queued) || entry.position - after.position;
  if (order === 'desc') return rank < 0;
  // What was written since the last page stands in front of a queued key, and must not be lost.
  return rank > 0 || (after.queued && !queued && entry.position >= after.length);
}

function isQueued({ event }: Entry): boolean {
  return event.processed_at === null;
}

function matches({ event }: Entry, { types, createdAt }: EventQuery): boolean {
  if (isHidden(event) || (types && !types.includes(event.type))) return false;
  if (!createdAt || Object.values(createdAt).every((bound) => bound === undefined)) return true;
  const at = event.processed_at;
  if (at === null) return false;
  const { gt, gte, lt, lte } = createdAt;
  return !(
    (gt !== undefined && at <= gt) ||
    (gte !== undefined && at < gte) ||
    (lt !== undefined && at >= lt) ||
    (lte !== undefined && at > lte)
  );
}
