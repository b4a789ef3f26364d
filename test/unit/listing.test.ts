import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isHidden, type Draft, type Entry } from '../../src/log.ts';
import type { EventQuery, ListKey } from '../../src/session.ts';
import { selectEvents } from '../../src/session/listing.ts';
import { conversations, created, entriesOf, said, type Carrier } from '../support/conversation.ts';
import { currentForms, indexOf } from '../support/projection.ts';

type Filter = Pick<EventQuery, 'types' | 'createdAt'>;

/** A page of a log that is there as a whole. */
function pageOf(log: readonly Entry[], query: EventQuery) {
  const { positions, next } = selectEvents(indexOf(log), query);
  return { entries: positions.flatMap((position) => log[position] ?? []), next };
}

/** All pages one after the other; `grow` may put further entries into the log between two of them. */
function walk(
  log: (page: number) => readonly Entry[],
  query: Filter & { order: 'asc' | 'desc'; limits: readonly number[] },
): Entry[] {
  const { limits, ...rest } = query;
  const seen: Entry[] = [];
  let after: ListKey | undefined;
  for (let page = 0; page < 1000; page += 1) {
    const limit = limits[page % limits.length] ?? 1;
    const { entries, next } = pageOf(log(page), { ...rest, limit, after });
    expect(entries.length).toBeLessThanOrEqual(limit);
    if (next) expect(entries.length).toBe(limit);
    seen.push(...entries);
    if (!next) return seen;
    // A cursor goes to the client and back.
    after = JSON.parse(JSON.stringify(next)) as ListKey;
  }
  throw new Error('the pages do not end');
}

const order = fc.constantFrom<'asc' | 'desc'>('asc', 'desc');
const limits = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 3 });

describe('paging', () => {
  test('gives each event once, in its current form, whatever the limits', () => {
    fc.assert(
      fc.property(conversations, fc.nat(80), order, limits, (carriers, end, order, limits) => {
        const entries = entriesOf(carriers).slice(0, end);
        const expected = currentForms(entries).filter(({ event }) => !isHidden(event));
        if (order === 'desc') expected.reverse();
        expect(walk(() => entries, { order, limits })).toEqual(expected);
      }),
    );
  });

  test('loses nothing while the log grows, and repeats nothing but what is queued', () => {
    fc.assert(
      fc.property(
        conversations,
        order,
        limits,
        fc.array(fc.nat(6), { minLength: 1 }),
        (carriers, order, limits, steps) => {
          const entries = entriesOf(carriers);
          const lengthAt = (page: number): number =>
            steps.slice(0, page + 1).reduce((sum, step) => sum + step, 1);
          const seen = walk((page) => entries.slice(0, lengthAt(page)), { order, limits });
          const ids = new Set(seen.map(({ event }) => event.id));
          const known = entries.slice(0, lengthAt(0)).filter(({ event }) => !isHidden(event));
          for (const { event } of known) expect(ids).toContain(event.id);
          const settled = seen.filter(({ event }) => event.processed_at !== null);
          expect(new Set(settled).size).toBe(settled.length);
        },
      ),
    );
  });

  test('ends with everything, oldest first, when the log has stopped growing before the last page', () => {
    fc.assert(
      fc.property(conversations, fc.integer({ min: 1, max: 60 }), limits, (carriers, length, limits) => {
        const entries = entriesOf(carriers);
        const young = entries.slice(0, length);
        const first = pageOf(young, { order: 'asc', limit: 1 });
        if (!first.next) return;
        const { next } = first;
        const rest: Entry[] = [];
        for (let after: ListKey | undefined = next, page = 0; after; page += 1) {
          const answer = pageOf(page === 0 ? young : entries, {
            order: 'asc',
            limit: limits[0] ?? 1,
            after,
          });
          rest.push(...answer.entries);
          after = answer.next;
          if (page === 0 && !after) return;
        }
        const ids = new Set([...first.entries, ...rest].map(({ event }) => event.id));
        const lost = entries.filter(({ event }) => !isHidden(event) && !ids.has(event.id));
        expect(lost).toEqual([]);
      }),
    );
  });
});

describe('a message that is taken up between two pages', () => {
  const before: Carrier[] = [
    { drafts: [created()], author: 'server' },
    { drafts: [{ event: { id: 'running', type: 'session.status_running' } }], author: 'server' },
    { drafts: [said('m1', 'one'), said('m2', 'two'), said('m3', 'three')], author: 'client' },
  ];
  const taken: Draft[] = [
    { processed: 'm1' },
    { processed: 'm2' },
    { processed: 'm3' },
    { event: { id: 'span', type: 'span.model_request_start' } },
  ];
  const after: Carrier[] = [...before, { drafts: taken, author: 'server' }];
  const pages = (order: 'asc' | 'desc', limit: number) =>
    walk((page) => entriesOf(page === 0 ? before : after), { order, limits: [limit] }).map(
      ({ event }) => event.id,
    );

  test('is not lost, oldest first, nor is what came with it', () => {
    // The second page begins behind m1, which was queued: what was written since stands in front of it.
    expect(pages('asc', 2)).toEqual(['running', 'm1', 'm1', 'm2', 'm3', 'span']);
  });

  test('is not lost, newest first', () => {
    expect(pages('desc', 2)).toEqual(['m3', 'm2', 'span', 'm3', 'm2', 'm1', 'running']);
  });

  test('comes once where the page ended before it', () => {
    expect(pages('asc', 1)).toEqual(['running', 'm1', 'm2', 'm3', 'span']);
  });
});

describe('filters', () => {
  const carriers: Carrier[] = [
    { drafts: [created(), { event: { id: 'a', type: 'session.status_running' } }], author: 'server' },
    { drafts: [said('q', 'waits')], author: 'client' },
    { drafts: [{ event: { id: 'b', type: 'span.model_request_start' } }], author: 'server' },
  ];
  const ids = (filter: Filter) =>
    pageOf(entriesOf(carriers), { order: 'asc', limit: 10, ...filter }).entries.map(({ event }) => event.id);
  const [timeA = '', timeB = ''] = entriesOf(carriers).flatMap(({ event }) =>
    event.id === 'a' || event.id === 'b' ? [event.processed_at ?? ''] : [],
  );

  test('by type', () => {
    expect(ids({ types: ['user.message', 'session.status_running'] })).toEqual(['a', 'q']);
    expect(ids({ types: ['x.session_created'] })).toEqual([]);
  });

  test('by time, which leaves out what has none yet', () => {
    expect(ids({ createdAt: { gte: timeA, lte: timeB } })).toEqual(['a', 'b']);
    expect(ids({ createdAt: { gt: timeA } })).toEqual(['b']);
    expect(ids({ createdAt: { lt: timeB } })).toEqual(['a']);
    expect(ids({ createdAt: { gt: timeA, lt: timeB } })).toEqual([]);
  });

  test('no bound is no filter', () => {
    expect(ids({ createdAt: { gt: undefined, lte: undefined } })).toEqual(['a', 'b', 'q']);
  });
});
