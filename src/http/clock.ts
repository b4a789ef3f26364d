/** Times as the API stores and shows them: RFC 3339, UTC, always six fractional digits, so that text order is time order. */

import { formatMicros } from '../wire/time.ts';

/** Gives the present time; each call gives a later one. */
export type Clock = () => string;

/**
 * A clock whose times strictly increase within the process: two rows made in one millisecond still sort in the
 * order in which they were made.
 */
export function createClock(nowMs: () => number = Date.now): Clock {
  let lastMicros = 0;
  return () => {
    lastMicros = Math.max(nowMs() * 1000, lastMicros + 1);
    return formatMicros(lastMicros);
  };
}

/** A client's RFC 3339 time (any offset, any precision) in the API's own form; undefined if it is none. */
export function normalizeTime(text: string): string | undefined {
  const match = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)$/.exec(text);
  if (match === null) return undefined;
  const [, fraction = '', offset = 'Z'] = match;
  const seconds = Date.parse(`${text.slice(0, 10)}T${text.slice(11, 19)}${offset.toUpperCase()}`);
  const year = new Date(seconds).getUTCFullYear();
  if (Number.isNaN(seconds) || year < 0 || year > 9999) return undefined;
  return formatMicros(seconds * 1000 + Number(fraction.slice(0, 6).padEnd(6, '0')));
}
