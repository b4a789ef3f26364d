/** Keyset slices in SQL: one row more than asked for tells whether there are more. */
import { sql, type SelectQueryBuilder } from 'kysely';
import type { CreatedAt } from '../records.ts';
import type { Slice, SliceRequest } from '../wire/page.ts';

/** What of a query builder is needed here, whatever its tables are. */
type Query<DB, TB extends keyof DB, O> = SelectQueryBuilder<DB, TB, O>;

/** Runs a query for a slice of its rows, sorted by `columns`, which together must be unique. */
export async function fetchSlice<DB, TB extends keyof DB, O>(
  query: Query<DB, TB, O>,
  columns: readonly string[],
  { order, limit, cursor }: SliceRequest,
): Promise<Slice<O>> {
  const backwards = cursor?.direction === 'prev';
  const descending = (order === 'desc') !== backwards;
  let asked = query;
  if (cursor !== undefined) {
    const left = sql.join(columns.map((column) => sql.ref(column)));
    const right = sql.join(cursor.key.slice(0, columns.length).map((value) => sql.val(value)));
    const beyond = sql.raw(descending ? '<' : '>');
    asked = asked.where(sql<boolean>`(${left}) ${beyond} (${right})`);
  }
  for (const column of columns) asked = asked.orderBy(sql.ref(column), descending ? 'desc' : 'asc');
  const found = await asked.limit(limit + 1).execute();
  const rows = found.slice(0, limit);
  return { rows: backwards ? rows.reverse() : rows, more: found.length > limit };
}

/** Adds bounds on `created_at`. */
export function createdWithin<DB, TB extends keyof DB, O>(
  query: Query<DB, TB, O>,
  bounds: CreatedAt | undefined,
): Query<DB, TB, O> {
  const signs = { gt: '>', gte: '>=', lt: '<', lte: '<=' } as const;
  let asked = query;
  for (const name of ['gt', 'gte', 'lt', 'lte'] as const) {
    const time = bounds?.[name];
    if (time === undefined) continue;
    asked = asked.where(sql<boolean>`${sql.ref('created_at')} ${sql.raw(signs[name])} ${time}`);
  }
  return asked;
}
