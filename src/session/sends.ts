/**
 * Bounds what clients have under way: a session is a single line, and who sends faster than it moves is told to come
 * again. Each process bounds its own; what a log holds is bounded for all of them.
 */
import type { Draft } from '../log.ts';
import { MOST_QUEUED, SessionBusyError, type SessionView } from '../session.ts';
import type { LogIndex } from './log-index.ts';

/** A session's log as far as this process has read it. */
export interface Known {
  readonly index: Pick<LogIndex, 'length' | 'typeAt'>;
  readonly view: SessionView | undefined;
  has(id: string): boolean;
}

/** The sends of a process. */
export interface Sends {
  /**
   * Carries a send out if there is room for it.
   *
   * @throws {SessionBusyError} before anything has happened
   */
  admit<T>(
    id: string,
    request: { drafts: readonly Draft[]; known: Known },
    send: () => Promise<T>,
  ): Promise<T>;
}

/** Sends to one session that a process has under way at once. */
export const MOST_UNFINISHED = 32;
/** So many more for what ends something, so that a flood cannot keep it out. */
const RESERVED = 32;
/**
 * What clients may write while a step of a turn runs, besides what ends it. A workflow's run takes 10,000 signals, and
 * cannot be followed by another one in the middle of a step.
 */
export const MOST_UNHEARD = 2000;

/** Makes them. */
export function createSends(): Sends {
  const underWay = new Map<string, Set<readonly string[]>>();

  function checkRoom(id: string, drafts: readonly Draft[], known: Known): void {
    const others = underWay.get(id) ?? new Set();
    const isUrgent = drafts.some(ends);
    if (others.size >= MOST_UNFINISHED + (isUrgent ? RESERVED : 0))
      throw new SessionBusyError(`${others.size} requests to session ${id} are under way already`);
    const waiting = messagesIn(drafts).length;
    const coming = [...others].flat().filter((message) => !known.has(message)).length;
    if (waiting > 0 && (known.view?.loop.queue.length ?? 0) + coming + waiting > MOST_QUEUED)
      throw new SessionBusyError(`more than ${MOST_QUEUED} messages are waiting to be taken up`);
    if (!isUrgent && known.view?.loop.status !== 'idle' && unheard(known.index) >= MOST_UNHEARD)
      throw new SessionBusyError(`session ${id} has got ${MOST_UNHEARD} events in a single step of its turn`);
  }

  return {
    async admit(id, { drafts, known }, send) {
      checkRoom(id, drafts, known);
      const own = messagesIn(drafts);
      const all = underWay.get(id) ?? new Set();
      underWay.set(id, all.add(own));
      try {
        return await send();
      } finally {
        all.delete(own);
        if (all.size === 0) underWay.delete(id);
      }
    },
  };
}

function messagesIn(drafts: readonly Draft[]): string[] {
  return drafts.flatMap((draft) =>
    'event' in draft && draft.event.type === 'user.message' ? [draft.event.id] : [],
  );
}

function ends(draft: Draft): boolean {
  if (!('event' in draft)) return false;
  const { type } = draft.event;
  return type === 'user.interrupt' || type === 'session.status_terminated';
}

/** Counts what clients have written since the last step of a turn began, no further than it matters. */
function unheard({ length, typeAt }: Known['index']): number {
  let count = 0;
  for (let at = length - 1; at >= 0 && count < MOST_UNHEARD; at -= 1) {
    const type = typeAt(at);
    if (type === 'span.model_request_start' || type === 'session.status_idle') break;
    if (isByClient(type)) count += 1;
  }
  return count;
}

function isByClient(type: string): boolean {
  return (
    type.startsWith('user.') ||
    type === 'system.message' ||
    type === 'session.updated' ||
    type === 'x.compaction_requested'
  );
}
