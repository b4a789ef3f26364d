/** Finds the first difference between two servers that were told the same, and faults of each by itself. */
import { isHidden } from '../../src/log.ts';
import { isDeepStrictEqual } from 'node:util';
import { toCanonical, type CanonicalOptions, type Part } from './canonical.ts';
import type { Transcript } from './play.ts';
import { currentForms } from '../support/projection.ts';

/** The first place where two conversations differ. */
export interface Difference {
  readonly part: Part;
  /** The index within the part; in the log, the position. */
  readonly at: number;
  /** What leads to it within the item: `event.content.0.text`. */
  readonly path: string;
  /** The last items that were equal. */
  readonly before: readonly unknown[];
  readonly left: unknown;
  readonly right: unknown;
}

const CONTEXT = 4;
const PARTS: readonly Part[] = ['log', 'answers', 'requests'];

/** The first difference; undefined: there is none. */
export function findDifference(
  left: Transcript,
  right: Transcript,
  options: CanonicalOptions = {},
): Difference | undefined {
  const [one, other] = [toCanonical(left, options), toCanonical(right, options)];
  for (const part of PARTS) {
    const [ours, theirs] = [one[part], other[part]];
    const length = Math.max(ours.length, theirs.length);
    for (let at = 0; at < length; at += 1) {
      const path = pathOfDifference(ours[at], theirs[at]);
      if (path === undefined) continue;
      const before = ours.slice(Math.max(0, at - CONTEXT), at);
      return { part, at, path, before, left: ours[at], right: theirs[at] };
    }
  }
  return undefined;
}

/** Where two JSON values differ first; undefined: they do not. A value that is not there differs from all that are. */
function pathOfDifference(left: unknown, right: unknown): string | undefined {
  if (isDeepStrictEqual(left, right)) return undefined;
  if (!isContainer(left) || !isContainer(right)) return '';
  for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
    const inner = pathOfDifference(left[key], right[key]);
    const isMissing = key in left !== key in right;
    if (inner === undefined && !isMissing) continue;
    return inner === undefined || inner === '' ? key : `${key}.${inner}`;
  }
  return '';
}

function isContainer(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** In what one server contradicts itself: its stream, its slices and its list all show the same log. */
export function findFault({ entries, slice, streamed, listed }: Transcript): string | undefined {
  const shown = entries
    .filter(({ event }) => !isHidden(event))
    .map(({ position, event }) => ({ position, event }));
  const current = currentForms(entries).filter(({ event }) => !isHidden(event));
  const views: readonly (readonly [string, readonly unknown[], readonly unknown[]])[] = [
    ['the slice', slice, shown],
    ['the stream', streamed, shown],
    ['the list', listed, current.map(({ event }) => event)],
  ];
  for (const [name, is, shouldBe] of views) {
    for (let at = 0; at < Math.max(is.length, shouldBe.length); at += 1) {
      const path = pathOfDifference(is[at], shouldBe[at]);
      if (path === undefined) continue;
      const texts = [is[at], shouldBe[at]].map((value) => JSON.stringify(value) ?? 'nothing');
      return `${name} is not what the log says, item ${at} at "${path}":\n  it has ${texts[0]}\n  the log ${texts[1]}`;
    }
  }
  return undefined;
}
