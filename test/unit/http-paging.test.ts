import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createClock, normalizeTime } from '../../src/http/clock.ts';
import {
  decodeCursor,
  encodeCursor,
  toSliceRequest,
  toTwoWayPage,
  type PageRequest,
} from '../../src/http/paging.ts';
import { formatMicros } from '../../src/wire/time.ts';
import { sliceOf, type Order } from '../../src/wire/page.ts';

const keyOf = (row: number) => [row];

/** A list of numbers behind a page route. */
function pageOf(rows: readonly number[], request: PageRequest) {
  const shown = rows.toSorted((a, b) => (request.order === 'asc' ? a - b : b - a));
  return toTwoWayPage(sliceOf(shown, toSliceRequest({ ...request, key: ['number'] }), keyOf), request, keyOf);
}

function walk(rows: readonly number[], start: PageRequest, field: 'next_page' | 'prev_page') {
  const pages: number[][] = [];
  for (let request: PageRequest | undefined = start; request !== undefined;) {
    const page = pageOf(rows, request);
    pages.push(page.data);
    const cursor = page[field];
    request = cursor === null ? undefined : { ...request, page: cursor };
  }
  return pages;
}

const orders = fc.constantFrom<Order>('asc', 'desc');
const lists = fc.uniqueArray(fc.integer({ min: 0, max: 1000 }), { maxLength: 40 });

describe('pages', () => {
  it('show every row once, in order, whatever the limit', () => {
    fc.assert(
      fc.property(lists, fc.integer({ min: 1, max: 10 }), orders, (rows, limit, order) => {
        const pages = walk(rows, { list: 'l', order, limit }, 'next_page');
        expect(pages.flat()).toEqual(rows.toSorted((a, b) => (order === 'asc' ? a - b : b - a)));
        expect(pages.slice(0, -1).every((page) => page.length === limit)).toBe(true);
      }),
    );
  });

  it('lead back over the same rows', () => {
    fc.assert(
      fc.property(lists, fc.integer({ min: 1, max: 10 }), orders, (rows, limit, order) => {
        const forwards = walk(rows, { list: 'l', order, limit }, 'next_page');
        const lastRow = forwards.at(-1)?.at(-1);
        if (lastRow === undefined) return;
        const page = encodeCursor({ direction: 'prev', key: [lastRow] }, { list: 'l', order });
        const backwards = walk(rows, { list: 'l', order, limit, page }, 'prev_page');
        expect([...backwards.toReversed().flat(), lastRow]).toEqual(forwards.flat());
      }),
    );
  });

  it('neither skip nor repeat when rows come in between', () => {
    const first = pageOf([10, 20, 30, 40], { list: 'l', order: 'desc', limit: 2 });
    expect(first).toMatchObject({ data: [40, 30], prev_page: null });
    const request = { list: 'l', order: 'desc', limit: 2, page: first.next_page ?? '' } as const;
    const second = pageOf([10, 20, 30, 35, 40, 50], request);
    expect(second).toMatchObject({ data: [20, 10], next_page: null });
    const back = pageOf([10, 20, 30, 35, 40, 50], { ...request, page: second.prev_page ?? '' });
    expect(back.data).toEqual([35, 30]);
    expect(pageOf([10, 20, 30, 35, 40, 50], { ...request, page: back.next_page ?? '' }).data).toEqual([
      20, 10,
    ]);
  });
});

describe('cursors', () => {
  const cursor = { direction: 'next', key: ['2026-01-01T00:00:00.000000Z', 'agent_1'] } as const;
  const text = encodeCursor(cursor, { list: 'agents', order: 'desc' });

  it('come back as they were, and fit into a URL', () => {
    expect(decodeCursor(text, { list: 'agents', order: 'desc' })).toEqual(cursor);
    expect(encodeURIComponent(text)).toBe(text);
  });

  it('are refused when damaged, of another list, order or time', () => {
    const refused = (value: string, list = 'agents', order: Order = 'desc') => {
      expect(() => decodeCursor(value, { list, order })).toThrow(/^page: /);
    };
    refused(text.slice(1));
    refused(`${text}=`);
    refused(Buffer.from('{"v":1}').toString('base64url'));
    refused(Buffer.from('null').toString('base64url'));
    refused(text, 'environments');
    refused(text, 'agents', 'asc');
    const request = { list: 'agents', order: 'desc', limit: 1, page: text } as const;
    const forged = encodeCursor({ direction: 'next', key: ['x'] }, request);
    expect(() => toSliceRequest({ ...request, page: forged })).toThrow(/^page: not a valid cursor/);
    expect(() => toSliceRequest({ ...request, within: { gt: '2026-01-01T00:00:00.000000Z' } })).toThrow(
      /outside/,
    );
    expect(toSliceRequest({ ...request, within: { gte: '2026-01-01T00:00:00.000000Z' } })).toMatchObject({
      cursor,
    });
  });

  it('never crash on what clients make up', () => {
    fc.assert(
      fc.property(fc.string(), fc.jsonValue(), (made, json) => {
        for (const value of [made, Buffer.from(JSON.stringify(json)).toString('base64url')]) {
          expect(() => decodeCursor(value, { list: 'agents', order: 'asc' })).toThrow(/^page: /);
        }
      }),
    );
  });
});

describe('times', () => {
  it('strictly increase, whatever the system clock does', () => {
    const wall = [1000, 1000, 1000, 900, 1001];
    const clock = createClock(() => wall.shift() ?? 0);
    expect(Array.from({ length: 5 }, clock)).toEqual([
      '1970-01-01T00:00:01.000000Z',
      '1970-01-01T00:00:01.000001Z',
      '1970-01-01T00:00:01.000002Z',
      '1970-01-01T00:00:01.000003Z',
      '1970-01-01T00:00:01.001000Z',
    ]);
  });

  it('are read with any offset and precision', () => {
    expect(normalizeTime('2026-01-01T00:00:00Z')).toBe('2026-01-01T00:00:00.000000Z');
    expect(normalizeTime('2026-01-01t01:30:00.1234567+01:30')).toBe('2026-01-01T00:00:00.123456Z');
    expect(normalizeTime('2026-01-01T00:00:00-05:00')).toBe('2026-01-01T05:00:00.000000Z');
    for (const wrong of [
      '',
      '2026-01-01',
      '2026-13-01T00:00:00Z',
      '2026-01-01T25:00:00Z',
      '2026-01-01T00:00:00',
      '1735689600',
    ]) {
      expect([wrong, normalizeTime(wrong)]).toEqual([wrong, undefined]);
    }
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e15 }), (micros) => {
        expect(normalizeTime(formatMicros(micros))).toBe(formatMicros(micros));
      }),
    );
  });
});
