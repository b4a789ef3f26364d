/** Pieces of statements on heads, the same in every database. */

/** What `due` says: nothing is to be done, something is, or a harness is at it. */
export const [NOTHING, ASKED, WORKING] = [0, 1, 2];

/** What `next_run` says where no run follows: the life is over, and all of it is in the archive. */
export const NO_RUN = '';

/** The columns of a head that are read. */
export const HEAD = 'length, epoch, holder, due, state, losses, place, lives, last_us, next_run';

/** The log is written here, be it for the rest of a turn only. */
export const HERE = `place in ('here', 'leaving')`;

/** What a head says of Temporal when it is made. */
export function birthOf(place: 'here' | 'sealed' | 'away') {
  return { place, lives: place === 'here' ? 0 : 1, nextRun: place === 'away' ? NO_RUN : null };
}

/** The session has a record, and is not being deleted. */
export const KEPT = (id: string): string =>
  `exists (select 1 from sessions where id = ${id} and state <> 'deleting')`;

/** The changes of a head that seal a log: nobody writes to it here any more, whatever lease he has. */
export function sealedIf(condition: string, otherwise = 'place'): string {
  const when = (then: string, or: string): string => `case when ${condition} then ${then} else ${or} end`;
  return `epoch = ${when('epoch + 1', 'epoch')}, lives = ${when('lives + 1', 'lives')}, next_run = ${when('null', 'next_run')}, place = ${when("'sealed'", otherwise)}`;
}
