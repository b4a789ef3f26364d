/**
 * Query parameters (wire-api section 1.4): lists by brackets or repetition, filters as literal keys such as
 * `created_at[gte]`. Parameters that nobody asked for are ignored; a wrong value of a known one is a 400 that names it.
 */
import type { Context } from 'hono';
import { z } from 'zod';
import { parse } from '../wire/parse.ts';
import { normalizeTime } from './clock.ts';

/** Reads the parameters named by `shape`. Each schema is given all values of its parameter, or undefined. */
export function readQuery<S extends z.ZodRawShape>(c: Context, shape: S): z.output<z.ZodObject<S>> {
  const given = new URL(c.req.url).searchParams;
  const values = Object.keys(shape).map((name) => {
    const found = [...given.getAll(name), ...given.getAll(`${name}[]`)];
    return [name, found.length === 0 ? undefined : found] as const;
  });
  return parse(z.object(shape), Object.fromEntries(values));
}

/** A parameter with one value; the last one wins, and an empty one counts as left out. */
function single<S extends z.ZodType>(schema: S) {
  return z.preprocess((values) => {
    const last = Array.isArray(values) ? (values.at(-1) as unknown) : undefined;
    return last === '' ? undefined : last;
  }, schema.optional());
}

/** A whole number within bounds. */
export function intParam(least: number, most: number = Number.MAX_SAFE_INTEGER) {
  const digits = z.string().regex(/^[+-]?\d{1,15}$/, 'Input should be a valid integer');
  return single(digits.transform(Number).pipe(z.int().min(least).max(most)));
}

/** The size of a page. */
export function limitParam(most: number, fallback: number) {
  return intParam(1, most).transform((limit) => limit ?? fallback);
}

/** `true` or `false`; false when left out. */
export function boolParam() {
  return single(z.enum(['true', 'false', '1', '0'])).transform((text) => text === 'true' || text === '1');
}

/** A time, in the form in which times are stored. */
export function timeParam() {
  return single(
    z.string().transform((text, context) => {
      const time = normalizeTime(text);
      if (time !== undefined) return time;
      context.addIssue({ code: 'custom', message: 'Input should be a valid RFC 3339 time' });
      return z.NEVER;
    }),
  );
}

/** One of a few words. */
export function wordParam<const W extends readonly [string, ...string[]]>(words: W) {
  return single(z.enum(words));
}

/** Any text, such as an id or a cursor. */
export function textParam() {
  return single(z.string());
}

/** Several of a few words, by `name[]=a&name[]=b` or `name=a&name=b`; undefined when left out. */
export function listParam<const W extends readonly [string, ...string[]]>(words: W) {
  return z.array(z.enum(words)).max(100).optional();
}
