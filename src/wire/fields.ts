/** Field kinds that several resources share (wire-api sections 4 and 28). */
import { z } from 'zod';
import { invalidRequest } from './error.ts';

/** Key-value pairs of the client's own. */
export type Metadata = Record<string, string>;

const MAX_PAIRS = 16;
const MAX_KEY = 64;
const MAX_VALUE = 512;

/** Text with bounds counted in characters, not in UTF-16 units. */
export function text(most: number, least = 0) {
  return z
    .string()
    .refine((value) => value.length >= least, { error: `must have at least ${least} character(s)` })
    .refine((value) => value.length <= most || Array.from(value).length <= most, {
      error: `must have no more than ${most} character(s)`,
    });
}

/** The shape of metadata as it is sent at creation. Its limits are checked by `mergeMetadata`. */
export const metadataParams = z.record(z.string(), z.string());

/** The shape of metadata as it is sent in an update: null deletes a key. */
export const metadataPatch = z.record(z.string(), z.string().nullable());

/** How an update's metadata is taken. */
export interface MergeOptions {
  /** Environments delete on `""` too (wire-api section 8). */
  readonly emptyDeletes?: boolean;
  /** Environments name their error. */
  readonly errorCode?: string;
}

/** Puts a patch over metadata, key by key. Throws 400 when the result breaks a limit. */
export function mergeMetadata(
  current: Metadata,
  patch: Readonly<Record<string, string | null>> | null | undefined,
  { emptyDeletes = false, errorCode }: MergeOptions = {},
): Metadata {
  const merged = new Map(Object.entries(current));
  for (const [key, value] of Object.entries(patch ?? {})) {
    if (value === null || (emptyDeletes && value === '')) merged.delete(key);
    else merged.set(key, value);
  }
  const problem = metadataProblem(merged);
  if (problem !== undefined) throw invalidRequest(problem, errorCode === undefined ? {} : { errorCode });
  return Object.fromEntries(merged);
}

function metadataProblem(pairs: ReadonlyMap<string, string>): string | undefined {
  if (pairs.size > MAX_PAIRS) return `metadata: must contain no more than ${MAX_PAIRS} item(s)`;
  for (const [key, value] of pairs) {
    if (key === '' || key.length > MAX_KEY) return `metadata: keys must have 1 to ${MAX_KEY} character(s)`;
    if (value.length > MAX_VALUE) return `metadata.${key}: must have no more than ${MAX_VALUE} character(s)`;
  }
  return undefined;
}

/** Whether two JSON values say the same; the order of an object's keys says nothing. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = Object.entries(a);
  const right = new Map(Object.entries(b));
  return (
    left.length === right.size &&
    left.every(([key, value]) => right.has(key) && sameJson(value, right.get(key)))
  );
}

/** The values that occur more than once, each named once. */
export function duplicates(values: readonly string[]): string[] {
  return [...new Set(values.filter((value, index) => values.indexOf(value) !== index))];
}
