/** What a log says about its session as a whole: a pure fold over entries. */
import { isQueuedType, type Draft, type Entry } from './log.ts';
import { EMPTY, fold } from './loop/state.ts';
import type { SessionView } from './session.ts';

const NOTHING: SessionView = {
  agent: {},
  environmentId: '',
  title: null,
  metadata: {},
  loop: EMPTY,
  createdAt: '',
  updatedAt: '',
  terminatedAt: null,
  length: 0,
};

/** Folds further entries into a view; start from `undefined`. */
export function foldView(view: SessionView | undefined, entries: readonly Entry[]): SessionView {
  return entries.reduce(foldEntry, view ?? NOTHING);
}

function foldEntry(view: SessionView, entry: Entry): SessionView {
  const { event } = entry;
  const at = event.processed_at ?? view.updatedAt;
  const loop = fold(view.loop, [draftOf(entry)], Date.parse(at));
  const next = { ...view, loop, length: entry.position + 1 };
  switch (event.type) {
    case 'x.session_created':
      return {
        ...next,
        agent: event.agent,
        environmentId: event.environment_id,
        title: event.title,
        metadata: event.metadata,
        createdAt: at,
        updatedAt: at,
      };
    case 'session.updated':
      return {
        ...next,
        updatedAt: at,
        agent: event.agent ?? view.agent,
        title: event.title === undefined ? view.title : event.title,
        metadata: event.metadata ?? view.metadata,
      };
    case 'session.status_running':
    case 'session.status_idle':
      return { ...next, updatedAt: at };
    case 'session.status_terminated':
      return { ...next, updatedAt: at, terminatedAt: at };
    default:
      return next;
  }
}

/** The draft that an entry was made of, as far as folds see it. */
export function draftOf(entry: Entry): Draft {
  const { event } = entry;
  if (isQueuedType(event.type) && event.processed_at !== null) return { processed: event.id };
  return entry.extra ? { event, extra: entry.extra } : { event };
}
