/**
 * Cursors and pages (wire-api section 3). A cursor is a place between two rows, not an offset: rows that come or go
 * elsewhere neither shift nor repeat what follows. It remembers its list and order, and is opaque to clients.
 */
import { z } from 'zod';
import { invalidRequest } from '../wire/error.ts';
import type { Cursor, Key, Order, Page, Slice, SliceRequest, TwoWayPage } from '../wire/page.ts';

/** What a cursor is tied to. */
export interface ListIdentity {
  /** Name of the list, such as `agents`, or with its parent's id where it has one. */
  readonly list: string;
  readonly order: Order;
}

/** What a list route asks for; `page` is the client's cursor. */
export interface PageRequest extends ListIdentity {
  readonly limit: number;
  readonly page?: string | undefined;
  /** Bounds of the first value of the key. A cursor outside them is refused: it belongs to other filters. */
  readonly within?: TimeBounds | undefined;
  /** What a key of this list is made of: a time and an id, unless said otherwise. */
  readonly key?: readonly ('string' | 'number')[];
}

const TIME_AND_ID = ['string', 'string'] as const;

/** Filters by time, as `created_at[…]` gives them. */
interface TimeBounds {
  readonly gt?: string | undefined;
  readonly gte?: string | undefined;
  readonly lt?: string | undefined;
  readonly lte?: string | undefined;
}

const token = z.strictObject({
  v: z.literal(1),
  l: z.string(),
  o: z.enum(['asc', 'desc']),
  d: z.enum(['next', 'prev']),
  k: z
    .array(z.union([z.string(), z.number()]))
    .min(1)
    .max(4),
});

/** What to ask the store for. Throws 400 for a cursor that is damaged or belongs elsewhere. */
export function toSliceRequest(request: PageRequest): SliceRequest {
  const { order, limit, page, within, key: shape = TIME_AND_ID } = request;
  if (page === undefined) return { order, limit };
  const cursor = decodeCursor(page, request);
  if (cursor.key.length !== shape.length || cursor.key.some((part, index) => typeof part !== shape[index])) {
    throw invalidRequest('page: not a valid cursor of this list');
  }
  if (within !== undefined && !isWithin(cursor.key[0], within)) {
    throw invalidRequest('page: the cursor lies outside the created_at filters');
  }
  return { order, limit, cursor };
}

/** The page of a list that is only walked forwards. */
export function toPage<T>(slice: Slice<T>, request: PageRequest, keyOf: (row: T) => Key): Page<T> {
  const { data, next_page } = toTwoWayPage(slice, request, keyOf);
  return { data, next_page };
}

/** The page of a list that can be walked both ways. */
export function toTwoWayPage<T>(
  slice: Slice<T>,
  request: PageRequest,
  keyOf: (row: T) => Key,
): TwoWayPage<T> {
  const cursor = request.page === undefined ? undefined : decodeCursor(request.page, request);
  const backwards = cursor?.direction === 'prev';
  const first = slice.rows.at(0);
  const last = slice.rows.at(-1);
  const hasNext = backwards || slice.more;
  const hasPrevious = backwards ? slice.more : cursor !== undefined;
  const place = (direction: Cursor['direction'], row: T | undefined, exists: boolean): string | null =>
    exists && row !== undefined ? encodeCursor({ direction, key: keyOf(row) }, request) : null;
  return {
    data: [...slice.rows],
    next_page: place('next', last, hasNext),
    prev_page: place('prev', first, hasPrevious),
  };
}

/** A cursor as clients see it. */
export function encodeCursor(cursor: Cursor, { list, order }: ListIdentity): string {
  const plain: z.input<typeof token> = { v: 1, l: list, o: order, d: cursor.direction, k: [...cursor.key] };
  return Buffer.from(JSON.stringify(plain)).toString('base64url');
}

/** Reads a cursor back. Throws 400 when it is damaged, of another list, or made under another order. */
export function decodeCursor(text: string, { list, order }: ListIdentity): Cursor {
  const parsed = token.safeParse(decodeJson(text));
  if (!parsed.success || parsed.data.l !== list)
    throw invalidRequest('page: not a valid cursor of this list');
  const { o, d, k } = parsed.data;
  if (o !== order)
    throw invalidRequest(`page: the cursor was made with order=${o} and cannot be used with order=${order}`);
  return { direction: d, key: k };
}

function decodeJson(text: string): unknown {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) return undefined;
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}

function isWithin(value: string | number | undefined, bounds: TimeBounds): boolean {
  const { gt, gte, lt, lte } = bounds;
  if (typeof value !== 'string') return true;
  return (
    (gt === undefined || value > gt) &&
    (gte === undefined || value >= gte) &&
    (lt === undefined || value < lt) &&
    (lte === undefined || value <= lte)
  );
}
