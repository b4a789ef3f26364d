/** The wire's event list over a log: current forms, filters, keyset paging. Pure. */
import { currentForms, isHidden, type Entry } from '../log.ts';
import type { EventPage, EventQuery, ListKey } from '../session.ts';

/** Picks one page. The key of an entry: queued ones sort behind all others, then by position. */
export function selectEvents(entries: readonly Entry[], query: EventQuery): EventPage {
  const direction = query.order === 'desc' ? -1 : 1;
  const forms = currentForms(entries);
  if (direction === -1) forms.reverse();
  const { after } = query;
  const rest = forms.filter(
    (entry) => matches(entry, query) && (!after || compare(keyOf(entry), after) * direction > 0),
  );
  const page = rest.slice(0, query.limit);
  const last = page.at(-1);
  return { entries: page, next: rest.length > page.length && last ? keyOf(last) : undefined };
}

function keyOf({ event, position }: Entry): ListKey {
  return { queued: event.processed_at === null, position };
}

function compare(left: ListKey, right: ListKey): number {
  return Number(left.queued) - Number(right.queued) || left.position - right.position;
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
