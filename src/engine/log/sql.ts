/** Pieces of statements on heads, the same in every database. */

/** What `due` says: nothing is to be done, something is, or a harness is at it. */
export const [NOTHING, ASKED, WORKING] = [0, 1, 2];

/** The columns of a head that are read. */
export const HEAD = 'length, epoch, holder, due, state, losses, place, lives';

/** The log is written here, be it for the rest of a turn only. */
export const HERE = `place in ('here', 'leaving')`;

/** The changes of a head that seal a log: nobody writes to it here any more, whatever lease he has. */
export function sealedIf(condition: string, otherwise = 'place'): string {
  const when = (then: string, or: string): string => `case when ${condition} then ${then} else ${or} end`;
  return `epoch = ${when('epoch + 1', 'epoch')}, lives = ${when('lives + 1', 'lives')}, place = ${when("'sealed'", otherwise)}`;
}
