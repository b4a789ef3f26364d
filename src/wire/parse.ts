/** Schemas meet the wire: a value that does not fit becomes a 400 whose message starts with the field's path. */
import type { z } from 'zod';
import { invalidRequest } from './error.ts';

type Issue = z.core.$ZodIssue;
type RawIssue = z.core.$ZodRawIssue;
type Path = readonly PropertyKey[];

/** Checks a value. Throws invalid_request_error with the first problem; `at` is put before its path. */
export function parse<S extends z.ZodType>(schema: S, value: unknown, at: Path = []): z.output<S> {
  const result = schema.safeParse(value, { error: describe });
  if (result.success) return result.data;
  throw invalidRequest(toInvalidMessage(result.error.issues, at));
}

/** The wire's message for what a schema found wrong: `tools[1].configs[0].name: Field required`. */
function toInvalidMessage(issues: readonly Issue[], at: Path = []): string {
  const [issue] = issues;
  if (issue === undefined) return 'The request is not valid.';
  const { path, message } = deepest(issue, at);
  return path.length === 0 ? message : `${toPathText(path)}: ${message}`;
}

/** A path as the wire writes it: `tools[1].configs[0].name`. */
function toPathText(path: Path): string {
  return path
    .map((part, index) =>
      typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${String(part)}`,
    )
    .join('');
}

interface Found {
  readonly path: Path;
  readonly message: string;
}

/** A union says "nothing fits" at its own path; the branch that got furthest says what is really wrong. */
function deepest(issue: Issue, at: Path): Found {
  const path = [...at, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    return { path: [...path, issue.keys[0] ?? ''], message: 'Extra inputs are not permitted' };
  }
  if (issue.code !== 'invalid_union') return { path, message: issue.message };
  const branches = issue.errors.flatMap(([first]) => (first === undefined ? [] : [deepest(first, path)]));
  const best = branches.reduce<Found | undefined>(
    (found, next) => (found === undefined || next.path.length > found.path.length ? next : found),
    undefined,
  );
  return best !== undefined && best.path.length > path.length ? best : { path, message: issue.message };
}

/** Own words for the common kinds of problem; where a schema has a message of its own, that one wins. */
function describe(issue: RawIssue): string | undefined {
  if (issue.code === 'invalid_union') return unionText(issue);
  if (issue.code === 'too_small') return `must ${sizeText(issue.origin, 'at least', Number(issue.minimum))}`;
  if (issue.code === 'too_big')
    return `must ${sizeText(issue.origin, 'no more than', Number(issue.maximum))}`;
  if (issue.code !== 'invalid_type' && issue.code !== 'invalid_value') return undefined;
  if (issue.input === undefined) return 'Field required';
  if (issue.code === 'invalid_type') return `Input should be a valid ${typeName(issue.expected)}`;
  return `Input should be ${issue.values.map((value) => `'${String(value)}'`).join(' or ')}`;
}

function unionText(issue: RawIssue & { code: 'invalid_union' }): string {
  const { discriminator, input } = issue;
  if (input === undefined) return 'Field required';
  if (typeof discriminator !== 'string' || typeof input !== 'object' || input === null) {
    return 'Input does not match any of the accepted forms';
  }
  const value = (input as Record<string, unknown>)[discriminator];
  if (value === undefined) return 'Field required';
  return `Unknown ${discriminator} ${JSON.stringify(value)}`;
}

function sizeText(origin: string, bound: 'at least' | 'no more than', size: number): string {
  if (origin === 'array' || origin === 'set') return `contain ${bound} ${size} item(s)`;
  if (origin === 'string') return `have ${bound} ${size} character(s)`;
  return `be ${bound === 'at least' ? 'greater' : 'less'} than or equal to ${size}`;
}

function typeName(expected: string): string {
  const names: Readonly<Record<string, string>> = { int: 'integer', record: 'object', array: 'list' };
  return names[expected] ?? expected;
}
