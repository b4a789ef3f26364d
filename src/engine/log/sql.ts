/** Pieces of statements on heads, the same in every database. */

/** What `due` says: nothing is to be done, something is, or a harness is at it. */
export const [NOTHING, ASKED, WORKING] = [0, 1, 2];

/** What `next_run` says where no run follows: the life is over, and all of it is in the archive. */
export const NO_RUN = '';

/** The columns of a head that are read. */
export const HEAD =
  'length, epoch, holder, due, state, losses, place, lives, last_us, next_run, sealed, log_id';

/** The log is written here, be it for the rest of a turn only. */
export const HERE = `place in ('here', 'leaving')`;

/** Segments of the log can be sealed here. */
export const SEALABLE = `${HERE} and state <> 'closing'`;

/**
 * Looks at some heads by their ids. One row at least, so that one knows how far that was; no index would do, since it
 * would have to be changed by every append.
 */
export const UNSEALED = (value: { after: string; among: string; entries: string }): string =>
  `with page as (
     select session_id, length - sealed as entries, state, place from log_heads
     where session_id > ${value.after} order by session_id limit ${value.among})
   select whole.last, page.session_id from (select max(session_id) as last from page) as whole
   left join page on ${SEALABLE} and (entries >= ${value.entries} or (state = 'terminated' and entries > 0))`;

/** What a head says of its log, and of Temporal, when it is made. */
export function birthOf(place: 'here' | 'sealed' | 'away', logId: string) {
  return { logId, place, lives: place === 'here' ? 0 : 1, nextRun: place === 'away' ? NO_RUN : null };
}

/** The session has a record, and is not being deleted. */
export const KEPT = (id: string): string =>
  `exists (select 1 from sessions where id = ${id} and state <> 'deleting')`;

/** The changes of a head that seal a log: nobody writes to it here any more, whatever lease he has. */
export function sealedIf(condition: string, otherwise = 'place'): string {
  const when = (then: string, or: string): string => `case when ${condition} then ${then} else ${or} end`;
  return `epoch = ${when('epoch + 1', 'epoch')}, lives = ${when('lives + 1', 'lives')}, next_run = ${when('null', 'next_run')}, place = ${when("'sealed'", otherwise)}`;
}
