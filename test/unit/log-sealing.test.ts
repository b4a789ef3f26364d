/** Logs that are written here are sealed behind the turns, each stretch once, whoever does it and whatever fails. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createChanges } from '../../src/engine/log/changes.ts';
import { createHomes } from '../../src/engine/log/homes.ts';
import { openLogStore } from '../../src/engine/log/open.ts';
import { sealOwn, startSealing } from '../../src/engine/log/sealing.ts';
import type { CarrierRow, LogStore } from '../../src/engine/log/store.ts';
import { createLogEngine } from '../../src/engine/log.ts';
import { joinParts } from '../../src/engine.ts';
import type { Draft } from '../../src/log.ts';
import { DamagedLogError, DamagedRowError, SessionGoneError } from '../../src/session.ts';
import type { Homes } from '../../src/session/home.ts';
import { createDigest } from '../../src/session/segments.ts';
import { verifySession, type Verification } from '../../src/session/verify.ts';
import { created, said } from '../support/conversation.ts';
import { createTestDatabase, DATABASE_KINDS, execute, type TestDatabase } from '../support/database.ts';
import { configOf } from '../support/log-store.ts';
import { createMortalStore } from '../support/mortal-store.ts';
import { eventually } from '../support/process.ts';
import { createBus, NO_BLOBS, SILENT } from '../support/two-engines.ts';

const ID = 'sesn_1';
const ENTRIES = 4;
const OVER: Draft = { event: { id: 'over', type: 'session.status_terminated' } };

/** Carriers of two entries each behind the first one, which has one. */
function log(length: number): CarrierRow[] {
  const first: CarrierRow = { position: 0, timeUs: 1_000_000, author: 'server', drafts: [created()] };
  const rest = Array.from({ length: (length - 1) / 2 }, (_, index): CarrierRow => {
    const position = 1 + 2 * index;
    const drafts = [said(`m${position}`, 'hello'), said(`m${position + 1}`, 'there')];
    return { position, timeUs: 1_000_000 + 1000 * position, author: 'client', drafts };
  });
  return [first, ...rest];
}

describe.each(DATABASE_KINDS)('a log that is written here (%s)', (kind) => {
  let database: TestDatabase;
  let store: LogStore;
  const opened: LogStore[] = [];

  async function open(): Promise<LogStore> {
    const one = await openLogStore(configOf(database.place), `process-${opened.length}`);
    opened.push(one);
    return one;
  }

  beforeEach(async () => {
    database = await createTestDatabase(kind);
    store = await open();
  });
  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close();
    await database.remove();
  });

  const homesOf = (one: LogStore): Homes => createHomes(one, createChanges(createBus()()));
  const bounds = async (id = ID): Promise<unknown[]> =>
    (await store.segments(id)).map(({ number, from, to, life, runId }) => [number, from, to, life, runId]);
  const extents = async (id = ID): Promise<unknown[]> =>
    (await store.segments(id)).map(({ number, from, to }) => [number, from, to]);
  const logIdOf = async (): Promise<string | null> => (await store.head(ID))?.logId ?? null;
  /** Without the sweep. */
  const unswept = (): LogStore => ({ ...store, unsealed: async () => ({ ids: [], last: undefined }) });
  /** Answers up to where. */
  const seal = async (id = ID, by = store): Promise<number> => (await sealOwn(by, id, ENTRIES))?.sealed ?? 0;
  async function verify(homes = homesOf(store)): Promise<Verification> {
    const lengthOf = async (): Promise<number> => {
      throw new SessionGoneError('all of it is here');
    };
    return await verifySession({ homes, lives: undefined, lengthOf }, ID);
  }
  async function checkIntact(length: number): Promise<void> {
    const { damage, segments, ...rest } = await verify();
    expect([damage, rest]).toEqual([undefined, { length }]);
    expect(segments.every(({ archive }) => archive === 'intact')).toBe(true);
  }

  describe('is sealed', () => {
    test('when there is enough of it, with a digest over the one before', async () => {
      await store.create(ID, log(3), false);
      expect(await seal()).toBe(0);
      expect(await bounds()).toEqual([]);
      await store.appendClient(ID, [said('x', 'more'), said('y', 'and more')], 2_000_000);
      expect(await seal()).toBe(5);
      expect(await seal()).toBe(5);
      await store.appendClient(
        ID,
        [1, 2, 3, 4].map((n) => said(`z${n}`, 'z')),
        3_000_000,
      );
      expect(await seal()).toBe(9);
      expect(await bounds()).toEqual([
        [0, 0, 5, 0, undefined],
        [1, 5, 9, 0, undefined],
      ]);
      const [first, second] = await store.segments(ID);
      const digest = createDigest(first?.sha256);
      digest.add(await store.read(ID, 5, 10));
      expect(second?.sha256).toBe(digest.end());
      expect(await store.head(ID)).toMatchObject({ length: 9, sealed: 9, due: true });
      await checkIntact(9);
    });

    test('in several segments where it came long, and to its end where it is over', async () => {
      await store.create(ID, log(15), false);
      expect(await seal()).toBe(13);
      const whole = [
        [0, 0, 5],
        [1, 5, 9],
        [2, 9, 13],
      ];
      expect(await extents()).toEqual(whole);
      await store.appendClient(ID, [OVER], 2_000_000);
      expect(await seal()).toBe(16);
      expect(await extents()).toEqual([...whole, [3, 13, 16]]);
      await checkIntact(16);
    });

    test('by many at once as by one', async () => {
      await store.create(ID, log(41), false);
      const others = [store, await open(), await open()];
      const all = [...others, ...others, ...others].map((one) => seal(ID, one));
      expect(new Set(await Promise.all(all))).toEqual(new Set([41]));
      expect(await store.segments(ID)).toHaveLength(10);
      await checkIntact(41);
    });

    test('while it is written to', async () => {
      await store.create(ID, log(1), false);
      const other = await open();
      const over = new AbortController();
      const sealing = (async () => {
        while (!over.signal.aborted) {
          await nextTurn();
          await sealOwn(other, ID, ENTRIES);
          expect((await verify(homesOf(other))).damage).toBeUndefined();
        }
      })();
      for (let nth = 0; nth < 60; nth += 1)
        await store.appendClient(ID, [said(`n${nth}`, 'hello')], 2_000_000 + nth);
      over.abort();
      await sealing;
      expect(await seal()).toBeGreaterThan(57);
      await checkIntact(61);
    });

    test('by whoever comes next, wherever somebody dies or fails over it', async () => {
      for (const blow of ['die', 'fail'] as const)
        for (const side of ['before', 'after'] as const)
          for (let count = 1; count <= 5; count += 1) {
            const id = `sesn_${blow}_${side}_${count}`;
            await store.create(id, log(9), false);
            const mortal = createMortalStore(await open());
            mortal.at(count, side, blow);
            const work = sealOwn(mortal.store, id, ENTRIES).catch((error: unknown) => error);
            await Promise.race([work, mortal.died]);
            expect(await seal(id)).toBe(9);
            expect(await extents(id)).toEqual([
              [0, 0, 5],
              [1, 5, 9],
            ]);
          }
    });

    test('never where it is elsewhere, is being deleted, or is another log by now', async () => {
      await store.create(ID, log(5), false);
      const segment = { number: 0, from: 0, to: 5, life: 0, sha256: 'd'.repeat(64) };
      const { logId = null } = (await store.head(ID)) ?? {};
      expect(await store.sealOwn(ID, { ...segment, logId: 'another' })).toBe(false);
      expect(await store.sealOwn(ID, { ...segment, logId, to: 6 })).toBe(false);
      expect(await store.sealOwn(ID, { ...segment, logId, from: 1 })).toBe(false);
      await store.remove(ID);
      await store.create(ID, log(5), false);
      expect(await store.sealOwn(ID, { ...segment, logId })).toBe(false);
      await store.startClosing(ID);
      expect(await seal()).toBe(0);
      await store.create('sesn_2', log(5), false);
      await store.sendAway('sesn_2');
      expect(await seal('sesn_2')).toBe(0);
      expect(await seal('sesn_none')).toBe(0);
      expect([await bounds(), await bounds('sesn_2')]).toEqual([[], []]);
    });

    test('never where something of it is missing', async () => {
      await store.create(ID, log(9), false);
      await execute(database.place, 'delete from log_carriers where position = 3');
      await expect(sealOwn(store, ID, ENTRIES)).rejects.toThrow(DamagedRowError);
      expect(await bounds()).toEqual([]);
    });

    test('in a chain that goes on through Temporal and back', async () => {
      const homes = homesOf(store);
      await store.create(ID, log(7), false);
      await sealOwn(store, ID, ENTRIES);
      await store.sendAway(ID);
      await store.arrived(ID, 1);
      const wrote = (position: number, id: string): CarrierRow => ({
        position,
        timeUs: 5_000_000 + position,
        author: 'client',
        drafts: [said(id, 'elsewhere')],
      });
      const run = { life: 1, after: undefined, runId: 'run-1', nextRunId: 'run-2', base: 7 };
      expect(await homes.seal(ID, { ...run, carriers: [wrote(7, 'p')] })).toBe(true);
      await store.expect(ID);
      await store.adopt(ID, 1, [wrote(8, 'q')]);
      await store.appendClient(ID, [said('r', 'back'), said('s', 'here'), said('t', 'again')], 9_000_000);
      expect(await seal()).toBe(12);
      expect(await bounds()).toEqual([
        [0, 0, 5, 0, undefined],
        [1, 5, 8, 1, 'run-1'],
        [2, 8, 12, 1, undefined],
      ]);
      const { segments } = await verify();
      expect(segments.map(({ history }) => history)).toEqual(['none', 'gone', 'none']);
      await checkIntact(12);
      await store.remove(ID);
      expect(await bounds()).toEqual([]);
    });
  });

  describe('is found to be sealed', () => {
    test('by a sweep, however many others there are', async () => {
      for (const [id, length] of [
        ['sesn_a', 3],
        ['sesn_b', 5],
        ['sesn_c', 3],
        ['sesn_d', 9],
        ['sesn_e', 5],
      ] as const)
        await store.create(id, log(length), false);
      await store.appendClient('sesn_c', [OVER], 2_000_000);
      await store.sendAway('sesn_e');
      const query = { among: 2, entries: ENTRIES };
      expect(await store.unsealed({ ...query, after: '' })).toEqual({ ids: ['sesn_b'], last: 'sesn_b' });
      const second = await store.unsealed({ ...query, after: 'sesn_b' });
      expect(second).toEqual({ ids: ['sesn_c', 'sesn_d'], last: 'sesn_d' });
      expect(await store.unsealed({ ...query, after: 'sesn_d' })).toEqual({ ids: [], last: 'sesn_e' });
      expect(await store.unsealed({ ...query, after: 'sesn_e' })).toEqual({ ids: [], last: undefined });

      const sealing = startSealing({ store, entries: ENTRIES, log: SILENT });
      await eventually('all to be sealed', async () => {
        const { ids } = await store.unsealed({ after: '', among: 100, entries: ENTRIES });
        return ids.length === 0;
      });
      await sealing.stop();
      expect(await bounds('sesn_c')).toEqual([[0, 0, 4, 0, undefined]]);
    });

    test('by whoever says that it rests, once for each segment', async () => {
      let answered = 0;
      const counting: LogStore = {
        ...unswept(),
        async head(id) {
          const found = await store.head(id);
          answered += 1;
          return found;
        },
      };
      const sealing = startSealing({ store: counting, entries: ENTRIES, log: SILENT });
      const heads = (): number => answered;
      await store.create(ID, log(5), false);
      const logId = await logIdOf();
      const rests = (length: number, isOver: boolean): void =>
        sealing.rests({ sessionId: ID, logId, length }, isOver);
      rests(3, false);
      expect(heads()).toBe(0);
      rests(5, false);
      await eventually('the segment', async () => (await store.head(ID))?.sealed === 5);
      await eventually('the end of that', () => heads() === 2);
      rests(8, false);
      await store.appendClient(ID, [OVER], 2_000_000);
      expect(heads()).toBe(2);
      rests(6, true);
      await sealing.stop();
      expect((await store.head(ID))?.sealed).toBe(6);
      rests(100, true);
      expect(heads()).toBe(4);
    });

    test('once it rests, also where another log was sealed under its id before', async () => {
      const sealing = startSealing({ store: unswept(), entries: ENTRIES, log: SILENT });
      await store.create(ID, log(9), false);
      sealing.rests({ sessionId: ID, logId: await logIdOf(), length: 9 }, false);
      await eventually('the segments', async () => (await store.head(ID))?.sealed === 9);
      await store.remove(ID);
      await store.create(ID, log(11), false);
      sealing.rests({ sessionId: ID, logId: await logIdOf(), length: 11 }, false);
      // A stop would leave undone what is still waiting behind the first one.
      await eventually('those of the new log', async () => (await extents()).length > 0);
      await sealing.stop();
      expect((await extents())[0]).toEqual([0, 0, 5]);
    });
  });

  describe('is read', () => {
    /** By a process that has read nothing of it yet. */
    async function read(): Promise<number> {
      const engine = createLogEngine(await open(), { blobs: NO_BLOBS, notices: createBus()() });
      const parts = { log: engine, temporal: undefined, missing: {} };
      const { sessions } = joinParts(parts, { config: { engine: 'log' }, blobs: NO_BLOBS });
      return (await sessions.getEvents(ID)).length;
    }

    test.each([
      ['the first', 0, 'position 0 of the log is missing'],
      ['one in the middle', 3, 'positions 3 to 4 of the log are missing'],
      ['the last', 5, 'ends at 5, and 7 entries were written'],
    ])('as a whole or not at all: %s is missing', async (_, position, problem) => {
      await store.create(ID, log(7), false);
      expect(await read()).toBe(7);
      await execute(database.place, `delete from log_carriers where position = ${position}`);
      await expect(read()).rejects.toThrow(problem);
      await expect(read()).rejects.toThrow(DamagedLogError);
    });

    test('or not at all where something cannot be read', async () => {
      await store.create(ID, log(7), false);
      await execute(database.place, `update log_carriers set drafts = '[]' where position = 5`);
      await expect(read()).rejects.toThrow('what was written at position 5 cannot be read');
    });
  });

  describe('is verified', () => {
    beforeEach(async () => {
      await store.create(ID, log(15), false);
      await sealOwn(store, ID, ENTRIES);
    });
    const change = async (sql: string): Promise<void> => await execute(database.place, sql);
    const damaged = async (): Promise<unknown> => (await verify()).damage;

    test.each([
      ['a letter', `drafts = replace(drafts, 'hello', 'hellp')`],
      ['a bracket', `drafts = replace(drafts, '[{', '({')`],
      ['a quote', `drafts = replace(drafts, '"event"', '"event ')`],
      ['all of it', `drafts = 'null'`],
      ['its time', 'time_us = time_us + 1'],
      ['its author', `author = 'server'`],
    ])('and the segment is named in which something was changed: %s', async (_, changes) => {
      await change(`update log_carriers set ${changes} where position = 7`);
      const { segments, damage } = await verify();
      expect(segments.map(({ archive }) => archive)).toEqual(['intact', 'damaged', 'intact']);
      expect(damage).toMatchObject({ segment: 1 });
      expect([5, 7]).toContain(damage?.position);
    });

    test('and where positions are missing, they are named', async () => {
      await change('delete from log_carriers where position in (7, 11)');
      expect(await damaged()).toEqual({
        segment: 1,
        position: 7,
        problem: 'positions 7 to 8 of the log are missing',
      });
      const { segments } = await verify();
      expect(segments.map(({ archive }) => archive)).toEqual(['intact', 'damaged', 'damaged']);
    });

    test('and a hole comes before what cannot be read behind it', async () => {
      await change(`update log_carriers set drafts = '[' where position = 7`);
      await change('delete from log_carriers where position = 5');
      expect(await damaged()).toMatchObject({ segment: 1, position: 5 });
    });

    test('also behind the last segment', async () => {
      await change('delete from log_carriers where position = 13');
      expect(await damaged()).toEqual({
        segment: undefined,
        position: 13,
        problem: 'positions 13 to 14 of the log are missing',
      });
      await change(`update log_carriers set position = 13 where position = 11`);
      expect(await damaged()).toMatchObject({ segment: 2, position: 11 });
    });

    test('and what is wrong with the segments themselves is named', async () => {
      await change(
        `update log_segments set sha256 = replace(sha256, substr(sha256, 1, 1), 'g') where number = 1`,
      );
      expect(await damaged()).toMatchObject({ segment: 1, position: 5 });
      await change('delete from log_segments where number = 1');
      expect(await damaged()).toEqual({ segment: 1, position: 5, problem: 'segment 1 is missing' });
      await change('delete from log_segments where number = 2');
      expect(await damaged()).toMatchObject({ segment: 1, position: 5 });
      await change('delete from log_segments');
      expect(await damaged()).toMatchObject({ segment: 0, position: 0 });
      await change('delete from log_heads');
      expect(await damaged()).toMatchObject({ segment: undefined, position: 0 });
    });

    test('in pages', async () => {
      const homes = homesOf(store);
      const id = 'sesn_long';
      await store.create(id, log(1501), false);
      await sealOwn(store, id, 1000);
      const pages: number[] = [];
      const read: Homes['read'] = async (...args) => {
        const page = await homes.read(...args);
        pages.push(page.length);
        return page;
      };
      const lengthOf = async (): Promise<number> => 0;
      const deps = { homes: { ...homes, read }, lives: undefined, lengthOf };
      expect(await verifySession(deps, id)).toMatchObject({ length: 1501, damage: undefined });
      expect(Math.max(...pages)).toBeLessThanOrEqual(200);
    });
  });
});
