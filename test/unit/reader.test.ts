import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Draft, Entry, Tally } from '../../src/log.ts';
import { settle, type WrittenCarrier } from '../../src/session/archive.ts';
import type { LogCursor } from '../../src/session/cursor.ts';
import { HistoryGapError, SessionGoneError } from '../../src/session.ts';
import { createHistoryCursor } from '../../src/engine/temporal/history-cursor.ts';
import { BORN_ON_TEMPORAL } from '../../src/session/home.ts';
import { createKeptLog, range } from '../../src/session/kept-log.ts';
import { createReader, type Reader } from '../../src/session/reader.ts';
import { createRoutedCursor } from '../../src/session/routed-cursor.ts';
import { created, histories, said } from '../support/conversation.ts';
import { eventually } from '../support/eventually.ts';
import {
  completed,
  continued,
  createFakeSource,
  ENDED,
  NOISE,
  noted,
  scheduled,
  signaled,
  started,
  type FakeSource,
} from '../support/history.ts';
import { collectLog } from '../support/projection.ts';

const running = (id: string): Draft => ({ event: { id, type: 'session.status_running' } });
/** A log of so many entries. */
const after = (length: number): Tally => ({ length, clientIds: [], queued: [] });
function entriesOf(carriers: readonly WrittenCarrier[]): readonly Entry[] {
  const log = collectLog();
  for (const { drafts, timeUs, author } of carriers) log.append(drafts, timeUs, author);
  return log.entries;
}
const forever = new AbortController().signal;
const all = (reader: Reader): Promise<Entry[]> => reader.at(range(0, reader.index.length));
const ids = async (reader: Reader): Promise<string[]> => (await all(reader)).map(({ event }) => event.id);

function open(options?: Parameters<typeof createFakeSource>[0]): { source: FakeSource; reader: Reader } {
  const source = createFakeSource(options);
  source.add('run-1', [started([created()]), NOISE, signaled([said('m', 'hi')])]);
  return { source, reader: createReader(createHistoryCursor(source)) };
}

describe('sync', () => {
  test('reads up to what is durable, over as many pages as it takes', async () => {
    const { source, reader } = open({ pageSize: 1 });
    source.add('run-1', [
      noted([running('r')]),
      NOISE,
      scheduled([{ processed: 'm' }]),
      completed([running('s')]),
      NOISE,
    ]);
    await reader.sync();
    expect(await ids(reader)).toEqual(['sevt_created', 'm', 'r', 'm', 's']);
    expect((await all(reader)).map(({ position }) => position)).toEqual([0, 1, 2, 3, 4]);
    expect(reader.view).toMatchObject({
      title: 'a title',
      length: 5,
      loop: { status: 'running', queue: [] },
    });
    expect(reader.closed).toBe(false);
    await eventually(() => expect(source.open).toBe(0));
  });

  test('asks for no page when there is nothing new', async () => {
    const { source, reader } = open();
    await reader.sync();
    const { pages } = source;
    await reader.sync();
    expect(source.pages).toBe(pages);
    source.add('run-1', [signaled([said('n', 'more')])]);
    await reader.sync();
    expect(await ids(reader)).toEqual(['sevt_created', 'm', 'n']);
  });

  test('reads a page again without harm', async () => {
    const plain = open({ pageSize: 2 });
    const overlapping = open({ pageSize: 2, overlap: 2 });
    for (const { source, reader } of [plain, overlapping]) {
      source.add('run-1', [noted([running('r')]), noted([running('r2')]), completed([running('r3')])]);
      await reader.sync();
    }
    expect(await all(overlapping.reader)).toEqual(await all(plain.reader));
    expect(await ids(plain.reader)).toEqual(['sevt_created', 'm', 'r', 'r2', 'r3']);
  });

  test('fails when there is no log', async () => {
    const { source, reader } = open();
    source.vanish();
    await expect(reader.sync()).rejects.toThrow(SessionGoneError);
    const empty = createFakeSource();
    empty.add('run-1', [NOISE, ENDED]);
    await expect(createReader(createHistoryCursor(empty)).sync()).rejects.toThrow(SessionGoneError);
  });

  test('of a closed workflow needs nothing to follow', async () => {
    const { source, reader } = open();
    source.add('run-1', [signaled([{ event: { id: 't', type: 'session.status_terminated' } }]), ENDED]);
    await reader.sync();
    await reader.sync();
    expect(reader.closed).toBe(true);
    expect(reader.view?.terminatedAt).not.toBeNull();
    expect(await reader.until(() => false, forever)).toBe(false);
  });
});

describe('a chain of runs', () => {
  test('is one log', async () => {
    const { source, reader } = open();
    source.add('run-1', [noted([running('r')]), continued('run-2')]);
    source.add('run-2', [
      started([], after(3)),
      NOISE,
      signaled([said('n', 'more')]),
      noted([{ processed: 'm' }]),
    ]);
    await reader.sync();
    expect(await ids(reader)).toEqual(['sevt_created', 'm', 'r', 'n', 'm']);
    expect((await all(reader)).map(({ position }) => position)).toEqual([0, 1, 2, 3, 4]);
    const times = (await all(reader)).flatMap(({ event }) => event.processed_at ?? []);
    expect(times).toEqual(times.toSorted());
    expect(reader.closed).toBe(false);
  });

  test('drops a write that was repeated in the next run', async () => {
    const { source, reader } = open();
    source.add('run-1', [continued('run-2')]);
    source.add('run-2', [started([], after(2)), signaled([said('m', 'hi')])]);
    await reader.sync();
    expect(await ids(reader)).toEqual(['sevt_created', 'm']);
  });

  test('may grow by a run while it is read', async () => {
    const { source, reader } = open({ pageSize: 10 });
    const asked = source.head();
    source.add('run-1', [continued('run-2')]);
    source.add('run-2', [started([], after(2)), signaled([said('n', 'more')])]);
    // The head is from before the new run; what was durable then is in the first.
    await createReader(createHistoryCursor({ ...source, head: () => asked })).sync();
    await reader.sync();
    expect(await ids(reader)).toEqual(['sevt_created', 'm', 'n']);
  });

  test('ends with its last run', async () => {
    const { source, reader } = open();
    source.add('run-1', [continued('run-2')]);
    source.add('run-2', [started([], after(2)), ENDED]);
    await reader.sync();
    expect(reader.closed).toBe(true);
  });

  test('whose runs have counted otherwise is not read on', async () => {
    const { source, reader } = open();
    source.add('run-1', [continued('run-2')]);
    source.add('run-2', [started([], after(3)), signaled([said('n', 'more')])]);
    await expect(reader.sync()).rejects.toThrow('begins at position 3, and the log before it ends at 2');
    expect(await ids(reader)).toEqual(['sevt_created', 'm']);
  });
});

describe('a session whose first runs are in the archive', () => {
  const archived = settle([
    { drafts: [created()], timeUs: 1_000_000, author: 'server' },
    { drafts: [said('m', 'hi'), said('n', 'more')], timeUs: 2_000_000, author: 'client' },
  ]);
  const read = async (position: number) => archived.filter((carrier) => carrier.position >= position);

  test('goes on with the run that follows', async () => {
    const source = createFakeSource();
    source.add('run-1', [NOISE, continued('run-2')]);
    source.add('run-2', [started([], after(3)), noted([{ processed: 'm' }])]);
    const home = { base: 3, nextRunId: 'run-2', isSealed: false, read };
    const reader = createReader(createHistoryCursor(source, home));
    await reader.sync();
    expect(await ids(reader)).toEqual(['sevt_created', 'm', 'n', 'm']);
  });

  test('needs no history when all of it is', async () => {
    const source = createFakeSource();
    const page = async (): Promise<never> => {
      throw new SessionGoneError('no such session');
    };
    const home = { base: 3, nextRunId: undefined, isSealed: true, read };
    const reader = createReader(createHistoryCursor({ ...source, page, head: page }, home));
    await reader.sync();
    expect(await ids(reader)).toEqual(['sevt_created', 'm', 'n']);
    expect(reader.closed).toBe(true);
  });

  test('has a gap, and says so, where a run is in neither', async () => {
    const source = createFakeSource();
    source.add('run-3', [started([], after(9))]);
    const lost = {
      ...source,
      page: async () => {
        throw new SessionGoneError('no such run');
      },
    };
    const home = { base: 3, nextRunId: 'run-2', isSealed: false, read };
    const reader = createReader(createHistoryCursor(lost, home));
    await expect(reader.sync()).rejects.toThrow(HistoryGapError);
    expect(await ids(reader)).toEqual(['sevt_created', 'm', 'n']);
  });

  test('has a gap when its archive is shorter than it was, unless it was deleted meanwhile', async () => {
    const home = { ...BORN_ON_TEMPORAL, base: 4, nextRunId: 'run-2' };
    let now = home;
    const routed = createRoutedCursor({
      home: async () => now,
      cursorAt: (there) => createHistoryCursor(createFakeSource(), { ...there, read }),
      isRevivable: false,
      onCut: () => undefined,
    });
    const { signal } = new AbortController();
    expect(await routed.next(signal)).toHaveLength(3);
    await expect(routed.next(signal)).rejects.toThrow(HistoryGapError);
    now = { ...home, base: 0 };
    await expect(routed.next(signal)).rejects.toThrow(SessionGoneError);
  });
});

describe('a long log', () => {
  const FIFTY = Array.from({ length: 50 }, (_, at) => ({
    drafts: at === 0 ? [created()] : [running(`r${at}`)],
    timeUs: at * 1000,
    author: 'server' as const,
  }));

  /** A reader that keeps next to nothing, over a log that is in the archive up to a position. */
  async function readLong(carriers: readonly WrittenCarrier[], base: number) {
    const archived = settle(carriers);
    const expected = entriesOf(archived);
    let given = 0;
    const cursor: LogCursor = {
      ...createHistoryCursor(createFakeSource()),
      get closed() {
        return given === expected.length;
      },
      async next() {
        given += 1;
        return expected.slice(given - 1, given);
      },
      mark: async () => () => given === expected.length,
    };
    const asked: number[] = [];
    const archive = {
      extent: async () => Math.min(base, expected.length),
      async carriersAt(positions: readonly number[]) {
        asked.push(...positions);
        return archived.filter(({ position, drafts }) =>
          positions.some((wanted) => wanted >= position && wanted < position + drafts.length),
        );
      },
    };
    const reader = createReader(cursor, createKeptLog(archive, 3));
    await reader.sync();
    return { reader, asked, expected };
  }

  test('gives the same entries, whether they are kept or read back', async () => {
    await fc.assert(
      fc.asyncProperty(histories, fc.nat(60), async (carriers, base) => {
        const { reader, asked, expected } = await readLong(carriers, base);
        expect(await all(reader)).toEqual(expected);
        expect(Math.max(-1, ...asked)).toBeLessThan(base);
        const last = new Map(expected.map(({ event, position }) => [event.id, position]));
        for (const [id, position] of [...last].filter((_, rank) => rank % 20 === 0))
          expect(await reader.positionOf(id)).toBe(position);
      }),
    );
  });

  test('is not kept as far as the archive has it, but for its end', async () => {
    const { reader, asked } = await readLong(FIFTY, 40);
    expect(reader.has('r39')).toBe(false);
    expect(reader.has('r40')).toBe(true);
    await reader.at(range(40, 50));
    expect(asked).toEqual([]);
    await reader.at([7]);
    expect(asked).toEqual([7]);
  });

  test('says what its archive has lost', async () => {
    const { reader } = await readLong(FIFTY, 40);
    await expect(reader.at([-1])).rejects.toThrow('position -1 of the log is missing');
  });
});

describe('waiting', () => {
  test('takes one poll at a time, however many wait', async () => {
    const { source, reader } = open();
    await reader.sync();
    const waiters = Array.from({ length: 50 }, (_, at) =>
      reader.until(() => reader.has(`n${at % 5}`), forever),
    );
    await eventually(() => expect(source.open).toBe(1));
    for (let at = 0; at < 5; at += 1) source.add('run-1', [signaled([said(`n${at}`, 'more')])]);
    expect(await Promise.all(waiters)).toEqual(Array(50).fill(true));
    expect(source.mostOpen).toBe(1);
    await eventually(() => expect(source.open).toBe(0));
  });

  test('ends at once for what is there, without a poll', async () => {
    const { source, reader } = open();
    await reader.sync();
    const { pages } = source;
    expect(await reader.until(() => reader.has('m'), AbortSignal.abort())).toBe(true);
    expect(await reader.until(() => false, AbortSignal.abort())).toBe(false);
    expect(source.pages).toBe(pages);
  });

  test('stops the poll when the last one gives up, not before', async () => {
    const { source, reader } = open();
    await reader.sync();
    const first = new AbortController();
    const second = new AbortController();
    const waits = [
      reader.until(() => false, first.signal),
      reader.until(() => reader.has('n'), second.signal),
    ];
    await eventually(() => expect(source.open).toBe(1));
    first.abort();
    expect(await waits[0]).toBe(false);
    expect(source).toMatchObject({ open: 1, aborted: 0 });
    expect(reader.isLive()).toBe(true);
    second.abort();
    expect(await waits[1]).toBe(false);
    await eventually(() => expect(source).toMatchObject({ open: 0, aborted: 1 }));
    expect(reader.isLive()).toBe(false);
    source.add('run-1', [signaled([said('n', 'more')])]);
    expect(await reader.until(() => reader.has('n'), forever)).toBe(true);
    expect(await ids(reader)).toEqual(['sevt_created', 'm', 'n']);
  });

  test('goes on for who comes while the poll is being stopped', async () => {
    const { source, reader } = open();
    await reader.sync();
    const first = new AbortController();
    const given = reader.until(() => false, first.signal);
    await eventually(() => expect(source.open).toBe(1));
    first.abort();
    const late = reader.until(() => reader.has('n'), forever);
    expect(await given).toBe(false);
    source.add('run-1', [signaled([said('n', 'more')])]);
    expect(await late).toBe(true);
    expect(source.mostOpen).toBe(1);
  });

  test('ends for all when the log does', async () => {
    const { source, reader } = open();
    await reader.sync();
    const waits = [reader.until(() => false, forever), reader.until(() => reader.has('x'), forever)];
    await eventually(() => expect(source.open).toBe(1));
    source.add('run-1', [ENDED]);
    expect(await Promise.all(waits)).toEqual([false, false]);
  });
});

describe('errors', () => {
  test('reach everybody who waits, and the next one tries again', async () => {
    const { source, reader } = open();
    await reader.sync();
    const waits = [reader.until(() => false, forever), reader.until(() => reader.has('n'), forever)];
    const settled = Promise.allSettled(waits);
    await eventually(() => expect(source.open).toBe(1));
    source.fail('page', new Error('the server is away'));
    for (const one of await settled)
      expect(one).toMatchObject({ status: 'rejected', reason: { message: 'the server is away' } });
    source.add('run-1', [signaled([said('n', 'more')])]);
    expect(await reader.until(() => reader.has('n'), forever)).toBe(true);
    expect(await ids(reader)).toEqual(['sevt_created', 'm', 'n']);
  });

  test('a session that vanishes ends the wait with SessionGoneError', async () => {
    const { source, reader } = open();
    await reader.sync();
    const settled = Promise.allSettled([reader.until(() => false, forever)]);
    await eventually(() => expect(source.open).toBe(1));
    source.vanish();
    expect(await settled).toMatchObject([{ status: 'rejected', reason: { name: 'SessionGoneError' } }]);
    await expect(reader.sync()).rejects.toThrow(SessionGoneError);
  });

  test('content that cannot be read makes no hole in the view', async () => {
    const { source, reader } = open();
    await reader.sync();
    const update: Draft = { event: { id: 'u', type: 'session.updated', title: 'new' } };
    source.add('run-1', [signaled([said('n', 'more'), update, said('o', 'more')])]);
    source.fail('unpack', new Error('too many open files'), 2);
    await expect(reader.sync()).rejects.toThrow('too many open files');
    await expect(reader.sync()).rejects.toThrow('too many open files');
    await reader.sync();
    expect(await ids(reader)).toEqual(['sevt_created', 'm', 'n', 'u', 'o']);
    expect(reader.view).toMatchObject({ title: 'new', length: 5, loop: { queue: ['m', 'n', 'o'] } });
  });
});
