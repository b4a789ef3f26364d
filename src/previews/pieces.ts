/**
 * Batches cut into what NOTIFY takes, and put together again. Pure. A piece is `<from> <batch> <index> <count> <text>`,
 * the text a part of the batch's JSON in ASCII: so that its length is its size, and it may be cut anywhere.
 */
import { LRUCache } from 'lru-cache';

/** Postgres takes less than 8,000 bytes. */
const LARGEST_TEXT = 7_900;
/** More than there are processes whose batches could be half there. */
const SENDERS_REMEMBERED = 1000;

/** Cuts batches of one sender. `from` must have no spaces and be nobody else's. */
export function createCutter(from: string): (json: string) => string[] {
  let batches = 0;
  return (json) => {
    const text = toAscii(json);
    const count = Math.max(1, Math.ceil(text.length / LARGEST_TEXT));
    batches += 1;
    // The numbers also keep equal texts apart, which Postgres would pass on only once.
    return Array.from({ length: count }, (_, index) => {
      const part = text.slice(index * LARGEST_TEXT, (index + 1) * LARGEST_TEXT);
      return `${from} ${batches} ${index} ${count} ${part}`;
    });
  };
}

/** A batch that has arrived. */
export interface Batch {
  readonly from: string;
  readonly value: unknown;
}

/** Puts pieces of any number of senders together. A batch of which one is missing is left out. */
export function createAssembler(): (piece: string) => Batch | undefined {
  const begun = new LRUCache<string, { readonly batch: string; readonly parts: string[] }>({
    max: SENDERS_REMEMBERED,
  });
  return (piece) => {
    const [, from = '', batch = '', index, count, part = ''] =
      /^(\S+) (\d+) (\d+) (\d+) (.*)$/.exec(piece) ?? [];
    let open = begun.get(from);
    if (index === '0') begun.set(from, (open = { batch, parts: [] }));
    if (open?.batch !== batch || open.parts.length !== Number(index)) return undefined;
    open.parts.push(part);
    if (open.parts.length < Number(count)) return undefined;
    begun.delete(from);
    return { from, value: parse(open.parts.join('')) };
  };
}

function toAscii(json: string): string {
  return json.replaceAll(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
