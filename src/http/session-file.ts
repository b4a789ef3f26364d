/** A session as a file of JSON lines (docs/extensions.md): written as the log is read, and read as a whole. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Entry } from '../log.ts';
import { DamagedLogError } from '../session.ts';
import { createCopier, toCarriers, type CopiedEntry } from '../session/copy.ts';
import type { Agent } from '../wire/agent.ts';
import type { Environment } from '../wire/environment.ts';
import { invalidRequest } from '../wire/error.ts';

const VERSION = 1;
/** Entries that are read at a time: each may be heavy. */
const PAGE = 100;

/** What a file says of its session besides the log. */
export interface Header {
  readonly session: { readonly id: string; readonly created_at: string; readonly archived_at: string | null };
  readonly agent: Agent;
  readonly environment: Environment;
}

/** Each line between the first and the last. */
interface Line {
  readonly type: 'entry';
  readonly position: number;
  readonly author: CopiedEntry['author'];
  readonly time_us: number;
  readonly draft: CopiedEntry['draft'];
}

const header = z.looseObject({
  type: z.literal('drover_export'),
  version: z.literal(VERSION),
  session: z.looseObject({
    id: z.string().regex(/^sesn_\w{1,64}$/),
    created_at: z.string(),
    archived_at: z.string().nullable(),
  }),
  agent: z.looseObject({ id: z.string(), version: z.int() }),
  environment: z.looseObject({ id: z.string(), name: z.string() }),
});
const line = z.looseObject({
  type: z.literal('entry'),
  position: z.int(),
  author: z.enum(['client', 'server']),
  time_us: z.int(),
  draft: z.union([
    z.looseObject({ event: z.looseObject({ id: z.string(), type: z.string() }) }),
    z.looseObject({ processed: z.string() }),
  ]),
});
const end = z.looseObject({ type: z.literal('end'), length: z.int(), sha256: z.string() });

/**
 * Writes the first `length` entries of a log piece by piece, so that no more than a page of it is in memory. `read`
 * gives the entries from a position to another one.
 *
 * @throws {DamagedLogError} when there are fewer: a file without its last line is worth nothing
 */
export async function* writeFile(
  head: Header,
  length: number,
  read: (from: number, to: number) => Promise<readonly Entry[]>,
): AsyncGenerator<string, void, undefined> {
  const hash = createHash('sha256');
  const copy = createCopier();
  const toText = (lines: readonly object[]): string => {
    const text = lines.map((value) => `${JSON.stringify(value)}\n`).join('');
    hash.update(text);
    return text;
  };
  let text = toText([{ type: 'drover_export', version: VERSION, ...head }]);
  for (let from = 0; from < length; from += PAGE) {
    const to = Math.min(from + PAGE, length);
    const entries = await read(from, to);
    if (entries.length !== to - from)
      throw new DamagedLogError(`there are ${entries.length} entries from position ${from} to ${to - 1}`);
    const lines = copy(entries).map(({ author, timeUs, draft }, rank): Line => ({
      type: 'entry',
      position: from + rank,
      author,
      time_us: timeUs,
      draft,
    }));
    yield text + toText(lines);
    text = '';
  }
  yield `${text}${JSON.stringify({ type: 'end', length, sha256: hash.digest('hex') })}\n`;
}

/** A body of pieces of which the first one is there already. It is read at the pace of whoever takes it. */
export function streamOf(
  first: IteratorResult<string, void>,
  rest: AsyncGenerator<string, void, undefined>,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let next: IteratorResult<string, void> | undefined = first;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const piece = next ?? (await rest.next());
      next = undefined;
      if (piece.done === true) controller.close();
      else controller.enqueue(encoder.encode(piece.value));
    },
    async cancel() {
      await rest.return();
    },
  });
}

/** What a file holds. Throws 400 where it is not whole, or not what was written. */
export function readFile(lines: readonly string[]) {
  const values = lines.map((text, index) => {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      throw invalidRequest(`line ${index + 1}: is no JSON`);
    }
  });
  const head = header.safeParse(values[0]);
  if (!head.success) throw invalidRequest(`line 1: is not the beginning of an export of version ${VERSION}`);
  const last = end.safeParse(values.at(-1));
  if (!last.success)
    throw invalidRequest(`line ${lines.length}: is not the end of an export; the file is cut off`);
  if (last.data.sha256 !== digestOf(lines.slice(0, -1)))
    throw invalidRequest('sha256: is not that of the lines; the file was changed');
  const copied = values.slice(1, -1).map((value, index) => {
    const read = line.safeParse(value);
    if (!read.success || read.data.position !== index) throw invalidRequest(`line ${index + 2}: is no entry`);
    const { author, time_us: timeUs, draft } = read.data as unknown as Line;
    return { author, timeUs, draft };
  });
  return {
    head: head.data as unknown as Header,
    carriers: toCarriers(copied),
    length: last.data.length,
  };
}

function digestOf(lines: readonly string[]): string {
  const hash = createHash('sha256');
  for (const text of lines) hash.update(`${text}\n`);
  return hash.digest('hex');
}
