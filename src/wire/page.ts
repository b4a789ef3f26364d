/** Pages on the wire (wire-api section 3), and the keyset slices that they are made of. */

/** Direction in which a list is shown. */
export type Order = 'asc' | 'desc';

/** Where a row stands in its list: the values that the list is sorted by, for example `[created_at, id]`. */
export type Key = readonly (string | number)[];

/** A place in a list: the rows after (`next`) or before (`prev`) a key, the key's own row left out. */
export interface Cursor {
  readonly direction: 'next' | 'prev';
  readonly key: Key;
}

/** What a store is asked for. */
export interface SliceRequest {
  readonly order: Order;
  readonly limit: number;
  readonly cursor?: Cursor | undefined;
}

/** What a store gives back: rows in display order, and whether there are more in the direction asked for. */
export interface Slice<T> {
  readonly rows: readonly T[];
  readonly more: boolean;
}

/** A page as most lists answer it. */
export interface Page<T> {
  data: T[];
  next_page: string | null;
}

/** A page of the sessions list, which can also be walked backwards. */
export interface TwoWayPage<T> extends Page<T> {
  prev_page: string | null;
}

/** The older page of `GET /v1/models`. */
export interface IdPage<T> {
  data: T[];
  has_more: boolean;
  first_id: string | null;
  last_id: string | null;
}

/** Cuts a slice out of rows that are already in memory and sorted in display order. */
export function sliceOf<T>(rows: readonly T[], request: SliceRequest, keyOf: (row: T) => Key): Slice<T> {
  const { cursor, limit, order } = request;
  if (cursor === undefined) return { rows: rows.slice(0, limit), more: rows.length > limit };
  const sign = order === 'asc' ? 1 : -1;
  const side = (row: T): number => sign * compareKeys(keyOf(row), cursor.key);
  if (cursor.direction === 'next') {
    const rest = rows.filter((row) => side(row) > 0);
    return { rows: rest.slice(0, limit), more: rest.length > limit };
  }
  const rest = rows.filter((row) => side(row) < 0);
  return { rows: rest.slice(-limit), more: rest.length > limit };
}

/** Orders two keys of one list, value by value. */
function compareKeys(a: Key, b: Key): number {
  for (const [index, left] of a.entries()) {
    const right = b[index];
    if (right === undefined) return 1;
    if (left < right) return -1;
    if (left > right) return 1;
  }
  return a.length < b.length ? -1 : 0;
}
