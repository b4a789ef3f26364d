/** The tail of a log, over the reader that follows its history. */
import type { Entry } from '../log.ts';
import { range } from './kept-log.ts';
import type { Reader } from './reader.ts';

/** Content is put back piece by piece, so that a long log is never in memory as a whole with all its content. */
const MOST_AT_ONCE = 100;

/** Gives all entries from a position on; see the port for when it ends. */
export async function* tail(
  reader: Reader,
  from: number,
  signal: AbortSignal,
  unpackThem: (entries: readonly Entry[]) => Promise<readonly Entry[]>,
): AsyncIterable<readonly Entry[]> {
  let next = from;
  while (!signal.aborted) {
    const { index } = reader;
    const isSealed = index.typeAt(index.length - 1) === 'session.status_terminated';
    if (isSealed && next >= index.length) return;
    if (!(await reader.until(() => index.length > next, signal))) return;
    const piece = await reader.at(range(next, Math.min(next + MOST_AT_ONCE, index.length)));
    next += piece.length;
    yield await unpackThem(piece);
  }
}
