/** What every store of the log engine promises, whatever its database is; also when several processes share that. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  SILENT_AFTER_MS,
  type CarrierRow,
  type HarnessWrite,
  type LogStore,
} from '../../src/engine/log/store.ts';
import { newId } from '../../src/id.ts';
import { type Draft } from '../../src/log.ts';
import { created, said } from '../support/conversation.ts';
import { DATABASE_KINDS } from '../support/database.ts';
import { createLogDatabase, type LogDatabase } from '../support/log-store.ts';
import { eventually } from '../support/process.ts';
import { collectLog } from '../support/projection.ts';

const RACERS = 12;
const NOW_US = 1_000_000;
const TERMINATED: Draft = { event: { id: 'over', type: 'session.status_terminated' } };

describe.each(DATABASE_KINDS)('a store of logs (%s)', (kind) => {
  let database: LogDatabase;
  let store: LogStore;
  /** Another process's. */
  let other: LogStore;
  let id: string;

  beforeEach(async () => {
    database = await createLogDatabase(kind);
    [store, other] = [await database.open(), await database.open()];
    id = newId('sesn');
    await store.create(id, [first()], false);
  });

  afterEach(() => database.close());

  /** A lease of a harness that lives. */
  async function claim(holder = 'h1', by = store) {
    await by.beat(holder);
    const lease = await by.claim(id, holder);
    if (!lease) throw new Error(`${holder} does not get the session`);
    return lease;
  }
  const head = async () => await store.head(id);
  const all = async (): Promise<CarrierRow[]> => await store.read(id, 0, 1000);
  async function due(holder = 'nobody', limit = 10): Promise<string[]> {
    return (await store.due(holder, limit)).map(({ sessionId }) => sessionId);
  }

  describe('a log', () => {
    test('begins with what it was made of, once', async () => {
      const born = newId('sesn');
      const carriers = [first(), carrier(1, [said('m', 'hello')], 'client')];
      await store.create(born, carriers, true);
      await other.create(born, [first('another')], false);
      expect(await other.read(born, 0, 10)).toEqual(carriers);
      expect(await other.head(born)).toMatchObject({ length: 2, due: true, state: 'open', holder: null });
      expect(await head()).toMatchObject({ length: 1, due: false, epoch: 0, losses: 0 });
      expect(await store.head('sesn_none')).toBeUndefined();
      expect(await store.read('sesn_none', 0, 10)).toEqual([]);
    });

    test('is read from any carrier on, so many at a time', async () => {
      for (const name of ['a', 'b', 'c'])
        await store.appendClient(id, [said(name, name), said(`${name}2`, name)], NOW_US);
      expect((await all()).map(({ position }) => position)).toEqual([0, 1, 3, 5]);
      expect(positions(await other.read(id, 1, 2))).toEqual([1, 3]);
      expect(positions(await other.read(id, 5, 2))).toEqual([5]);
      expect(await other.read(id, 7, 2)).toEqual([]);
    });

    test('and by the positions of its entries, wherever a carrier begins', async () => {
      for (const name of ['a', 'b', 'c'])
        await store.appendClient(id, [said(name, name), said(`${name}2`, name)], NOW_US);
      const [, a, , c] = await all();
      expect(await other.readAt(id, [2, 5, 6])).toEqual([a, c]);
      expect(await other.readAt(id, [])).toEqual([]);
      expect(await other.readAt('sesn_none', [0])).toEqual([]);
    });

    test('is erased, as often as one likes, and can then be made anew', async () => {
      await store.appendClient(id, [said('m', 'hello')], NOW_US);
      await store.remove(id);
      await other.remove(id);
      expect([await head(), await all(), await due()]).toEqual([undefined, [], []]);
      await store.create(id, [first()], false);
      expect(await store.appendClient(id, [said('m', 'hello')], NOW_US)).toBe(true);
      expect(positions(await all())).toEqual([0, 1]);
    });
  });

  describe("a client's append", () => {
    test('takes the next position, and makes the session due', async () => {
      expect(await store.appendClient(id, [said('a', 'one'), said('b', 'two')], NOW_US)).toBe(true);
      expect(await other.appendClient(id, [said('c', 'three')], NOW_US)).toBe(true);
      expect(await head()).toMatchObject({ length: 4, due: true });
      expect(await all()).toMatchObject([
        { position: 0 },
        { position: 1, author: 'client', drafts: [said('a', 'one'), said('b', 'two')] },
        { position: 3, author: 'client', drafts: [said('c', 'three')] },
      ]);
      expect(await due()).toEqual([id]);
    });

    test('comes later than all before it, whatever its clock says', async () => {
      await store.appendClient(id, [said('a', ''), said('b', '')], NOW_US + 500);
      await other.appendClient(id, [said('c', '')], 7);
      await store.appendClient(id, [said('d', '')], NOW_US + 2000);
      expect((await all()).map(({ timeUs }) => timeUs)).toEqual([
        NOW_US,
        NOW_US + 500,
        NOW_US + 502,
        NOW_US + 2000,
      ]);
    });

    test('that is repeated changes nothing, not even after others', async () => {
      const batch = [said('a', 'one'), said('b', 'two')];
      await store.appendClient(id, batch, NOW_US);
      await store.appendClient(id, [said('c', 'three')], NOW_US);
      expect(await other.appendClient(id, batch, NOW_US + 1)).toBe(true);
      expect(await head()).toMatchObject({ length: 4 });
      expect(positions(await all())).toEqual([0, 1, 3]);
    });

    test('is refused where there is no session, where it is over, and while it is being deleted', async () => {
      expect(await store.appendClient('sesn_none', [said('a', '')], NOW_US)).toBe(false);
      expect(await store.appendClient(id, [TERMINATED], NOW_US)).toBe(true);
      expect(await head()).toMatchObject({ state: 'terminated', due: true });
      expect(await store.appendClient(id, [said('a', '')], NOW_US)).toBe(false);
      const closing = newId('sesn');
      await store.create(closing, [first()], false);
      await store.startClosing(closing);
      expect(await store.appendClient(closing, [said('a', '')], NOW_US)).toBe(false);
      expect(await store.head(closing)).toMatchObject({ state: 'closing', due: true, length: 1 });
    });

    test('that cannot be written fails alone', async () => {
      const bad = { event: { id: 'bad', type: 'user.message', content: 1n } } as unknown as Draft;
      const results = await Promise.allSettled([
        store.appendClient(id, [said('a', '')], NOW_US),
        store.appendClient(id, [bad], NOW_US),
        store.appendClient(id, [said('b', '')], NOW_US),
      ]);
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      expect(await head()).toMatchObject({ length: 3 });
      expect(positions(await all())).toEqual([0, 1, 2]);
    });
  });

  describe('a lease', () => {
    test('is had by one at a time', async () => {
      const lease = await claim('h1');
      expect(lease).toMatchObject({ sessionId: id, holder: 'h1', epoch: 1, head: { length: 1, losses: 0 } });
      await other.beat('h2');
      expect(await other.claim(id, 'h2')).toBeUndefined();
      expect(await other.claim('sesn_none', 'h2')).toBeUndefined();
      expect(await head()).toMatchObject({ holder: 'h1', epoch: 1 });
    });

    test('goes to another one when its holder is silent, and comes back to none who wakes up', async () => {
      const lost = await claim('h1');
      await database.silence('h1');
      const lease = await claim('h2', other);
      expect(lease.epoch).toBe(lost.epoch + 1);
      await store.beat('h1');
      expect(await store.claim(id, 'h1')).toBeUndefined();
      expect(await store.append(lost, write(1, [said('a', '')]))).toEqual({ refused: 'fenced' });
      expect(await store.append(lost, write(1, []))).toEqual({ refused: 'fenced' });
      expect(await store.release(lost, { length: 1, due: true, lost: true })).toBe(false);
      expect(await head()).toMatchObject({ holder: 'h2', length: 1, losses: 0, due: false });
      expect(await other.append(lease, write(1, [said('a', '')]))).toHaveProperty('ok');
    });

    test('stays with its holder for as long as that is heard of, and so long after that', async () => {
      const lease = await claim('h1');
      await other.beat('h2');
      const startMs = Date.now();
      while (Date.now() < startMs + SILENT_AFTER_MS + 300) {
        await store.beat('h1');
        expect(await other.claim(id, 'h2')).toBeUndefined();
        await sleep(100);
      }
      const lastMs = Date.now();
      const next = await eventually('the lease', () => other.claim(id, 'h2'));
      expect(next.epoch).toBe(lease.epoch + 1);
      expect(Date.now() - lastMs).toBeGreaterThan(SILENT_AFTER_MS - 200);
    });

    test('can be had anew by its holder, who may not know of it; that is no loss', async () => {
      const unknown = await claim('h1');
      await store.append(unknown, write(1, [], true));
      const lease = await claim('h1');
      expect(lease).toMatchObject({ epoch: unknown.epoch + 1, head: { losses: 0 } });
      expect(await store.append(unknown, write(1, []))).toEqual({ refused: 'fenced' });
    });

    test('is lost in the middle of work only where something was under way', async () => {
      await store.append(await claim('h1'), write(1, [], true));
      await database.silence('h1');
      const second = await claim('h2');
      expect((await head())?.losses).toBe(1);
      // At rest, or only asked to look, nothing is lost.
      await store.append(second, write(1, [], false));
      await store.touch(id);
      await database.silence('h2');
      const third = await claim('h3');
      expect((await head())?.losses).toBe(1);
      // What was given back in order says itself whether something was lost.
      await store.release(third, { length: 1, due: true, lost: true });
      expect((await claim('h4')).head).toMatchObject({ losses: 2 });
      await store.release({ ...third, epoch: third.epoch + 1 }, { length: 1, due: true, lost: false });
      expect((await claim('h5')).head).toMatchObject({ losses: 2 });
    });

    test('losses are forgotten when something is written', async () => {
      await store.append(await claim('h1'), write(1, [], true));
      await database.silence('h1');
      const lease = await claim('h2');
      await store.append(lease, write(1, [], true));
      expect(await head()).toMatchObject({ losses: 1 });
      await store.append(lease, write(1, [said('a', '')], true));
      expect(await head()).toMatchObject({ losses: 0 });
    });
  });

  describe("a harness's append", () => {
    test('is what it wrote, at the position it decided on', async () => {
      const lease = await claim();
      const drafts = [said('a', 'one'), said('b', 'two')];
      const written = { position: 1, timeUs: NOW_US + 10, author: 'server', drafts };
      expect(await store.append(lease, { ...write(1, drafts), nowUs: NOW_US + 10 })).toEqual({ ok: written });
      expect((await all()).at(-1)).toEqual(written);
      // Not before what is there already.
      expect(await store.append(lease, write(3, [said('c', '')]))).toMatchObject({
        ok: { position: 3, timeUs: NOW_US + 12 },
      });
      expect(await head()).toMatchObject({ length: 4 });
    });

    test('does not happen when somebody else has written', async () => {
      const lease = await claim();
      await other.appendClient(id, [said('m', 'hello')], NOW_US);
      expect(await store.append(lease, write(1, [said('a', '')], true))).toEqual({ refused: 'changed' });
      expect(await store.append(lease, write(3, [said('a', '')], true))).toEqual({ refused: 'changed' });
      expect(await store.append(lease, write(1, [], false))).toEqual({ refused: 'changed' });
      expect(await head()).toMatchObject({ length: 2, due: true });
      expect(await store.append(lease, write(2, [said('a', '')]))).toHaveProperty('ok');
    });

    test('says whether something is under way, also where nothing is written', async () => {
      const lease = await claim();
      expect(await store.append(lease, write(1, [], true))).toEqual({ ok: undefined });
      expect(await head()).toMatchObject({ due: true, length: 1 });
      expect(await store.append(lease, write(1, [], false))).toEqual({ ok: undefined });
      expect(await head()).toMatchObject({ due: false, length: 1 });
      expect(await all()).toHaveLength(1);
    });

    test('adds nothing to a session that is over, or being deleted, but may say that it is done', async () => {
      const lease = await claim();
      await store.appendClient(id, [TERMINATED], NOW_US);
      expect(await store.append(lease, write(2, [said('a', '')]))).toHaveProperty('refused');
      expect(await store.append(lease, write(2, [], true))).toEqual({ ok: undefined });
      expect(await head()).toMatchObject({ state: 'terminated', length: 2 });
      await store.startClosing(id);
      expect(await store.append(lease, write(2, [said('a', '')]))).toHaveProperty('refused');
      expect(await store.append(lease, write(2, [], true))).toEqual({ ok: undefined });
      expect(await head()).toMatchObject({ state: 'closing', length: 2 });
    });

    test('may end the session', async () => {
      expect(await store.append(await claim(), write(1, [TERMINATED]))).toHaveProperty('ok');
      expect(await head()).toMatchObject({ state: 'terminated', length: 2 });
    });
  });

  describe('giving a lease back', () => {
    test('at rest happens only where nothing has come meanwhile', async () => {
      const lease = await claim();
      await other.appendClient(id, [said('m', 'hello')], NOW_US);
      expect(await store.release(lease, { length: 1, due: false, lost: false })).toBe(false);
      expect(await head()).toMatchObject({ holder: 'h1', due: true });
      await store.append(lease, write(2, [], false));
      expect(await store.release(lease, { length: 2, due: false, lost: false })).toBe(true);
      expect(await head()).toMatchObject({ holder: null, due: false, epoch: lease.epoch });
    });

    test('in the middle of something always does, and somebody else is to go on', async () => {
      const lease = await claim();
      await other.appendClient(id, [said('m', 'hello')], NOW_US);
      expect(await store.release(lease, { length: 1, due: true, lost: true })).toBe(true);
      expect(await head()).toMatchObject({ holder: null, due: true, losses: 1 });
      expect(await claim('h2', other)).toMatchObject({ epoch: lease.epoch + 1 });
    });
  });

  describe('what is due', () => {
    test('is shown to whoever can take it: not what another one holds who lives, nor what is at rest', async () => {
      expect(await due()).toEqual([]);
      expect(await store.touch(id)).toBe(true);
      expect(await due()).toEqual([id]);
      const lease = await claim('h1');
      expect([await due('h1'), await due('h2')]).toEqual([[id], []]);
      await store.append(lease, write(1, [], true));
      expect([await due('h1'), await due('h2')]).toEqual([[id], []]);
      await database.silence('h1');
      expect([await due('h1'), await due('h2')]).toEqual([[id], [id]]);
      await store.beat('h1');
      expect(await due('h2')).toEqual([]);
      await store.append(lease, write(1, [], false));
      expect([await due('h1'), await due('h2')]).toEqual([[], []]);
    });

    test('comes with the length of the log, and no more of it than is asked for', async () => {
      const ids = Array.from({ length: 3 }, () => newId('sesn')).sort();
      for (const one of ids) {
        await store.create(one, [first()], false);
        await store.appendClient(one, [said('a', ''), said('b', '')], NOW_US);
      }
      expect(await other.due('nobody', 10)).toEqual(ids.map((sessionId) => ({ sessionId, length: 3 })));
      expect(await due('nobody', 2)).toEqual(ids.slice(0, 2));
    });

    test('includes what a harness that left in order has not given back', async () => {
      await store.append(await claim('h1'), write(1, [], true));
      await store.leave('h1');
      expect(await due('h2')).toEqual([id]);
      expect(await claim('h2', other)).toMatchObject({ epoch: 2 });
    });

    test('is a session that is being deleted, and one that is woken, unless it is over', async () => {
      await store.startClosing(id);
      expect(await due()).toEqual([id]);
      expect(await store.touch(id)).toBe(false);
      expect(await store.touch('sesn_none')).toBe(false);
      const over = newId('sesn');
      await store.create(over, [first()], false);
      await store.appendClient(over, [TERMINATED], NOW_US);
      expect(await store.touch(over)).toBe(false);
    });
  });

  describe('processes that write at the same moment', () => {
    test('get different positions for what clients send, each once', async () => {
      const batches = Array.from({ length: RACERS }, (_, n) =>
        Array.from({ length: 1 + (n % 3) }, (_, m) => said(`m${n}-${m}`, 'hello')),
      );
      // Each comes twice, and at both: a client that repeats itself.
      await Promise.all(
        [...batches, ...batches].map((batch, n) =>
          (n % 2 === 0 ? store : other).appendClient(id, batch, NOW_US),
        ),
      );
      await Promise.all(batches.map((batch) => other.appendClient(id, batch, NOW_US)));
      const rows = await all();
      expect(rows.slice(1).map(({ drafts }) => drafts)).toEqual(
        expect.arrayContaining(batches.map((batch) => batch)),
      );
      expect(rows).toHaveLength(1 + RACERS);
      checkRows(rows);
    });

    test('are not both right about the length of the log', async () => {
      const lease = await claim();
      const written = await Promise.all(
        Array.from({ length: RACERS }, (_, n) =>
          (n % 2 === 0 ? store : other).append(lease, write(1, [said(`s${n}`, '')])),
        ),
      );
      expect(written.filter((one) => 'ok' in one)).toHaveLength(1);
      expect(written.filter((one) => 'refused' in one && one.refused === 'changed')).toHaveLength(RACERS - 1);
      expect(positions(await all())).toEqual([0, 1]);
    });

    test('do not both get a session', async () => {
      const names = Array.from({ length: RACERS }, (_, n) => `h${n}`);
      await Promise.all(names.map((name) => store.beat(name)));
      const leases = await Promise.all(names.map((name, n) => (n % 2 === 0 ? store : other).claim(id, name)));
      expect(leases.filter((lease) => lease !== undefined)).toHaveLength(1);
      expect(await head()).toMatchObject({ epoch: 1 });
    });

    test('never lose what a client sent between a decision and its append', async () => {
      const lease = await claim();
      const sent = Array.from({ length: 3 * RACERS }, (_, n) => said(`c${n}`, 'hello'));
      const clients = (async () => {
        for (const draft of sent) await other.appendClient(id, [draft], NOW_US);
      })();
      let refused = 0;
      for (let count = 0; count < RACERS;) {
        const { length = 0 } = (await head()) ?? {};
        const written = await store.append(lease, write(length, [said(`s${count}`, '')]));
        if ('ok' in written) count += 1;
        else refused += 1;
      }
      await clients;
      const rows = await all();
      checkRows(rows);
      expect(rows.filter(({ author }) => author === 'server')).toHaveLength(1 + RACERS);
      expect(rows.filter(({ author }) => author === 'client').map(({ drafts: [draft] }) => draft)).toEqual(
        sent,
      );
      expect(refused).toBeLessThanOrEqual(sent.length);
    });
  });

  test('says when it cannot be reached', async () => {
    await store.check();
    await store.close();
    await expect(store.check()).rejects.toThrow(/finalized|closed|end/i);
  });
});

function first(name = 'a title'): CarrierRow {
  const seed = created();
  if (!('event' in seed) || seed.event.type !== 'x.session_created') throw new Error('no seed');
  return carrier(0, [{ event: { ...seed.event, title: name } }]);
}

function carrier(
  position: number,
  drafts: readonly Draft[],
  author: CarrierRow['author'] = 'server',
): CarrierRow {
  return { position, timeUs: NOW_US + position, author, drafts };
}

function write(expected: number, drafts: readonly Draft[], working = false): HarnessWrite {
  return { expected, drafts, nowUs: NOW_US, working };
}

function positions(rows: readonly CarrierRow[]): number[] {
  return rows.map(({ position }) => position);
}

/** Carriers stand one behind the other, and none is earlier than the one before it; projected, they stay as they are. */
function checkRows(rows: readonly CarrierRow[]): void {
  const projection = collectLog();
  let lastUs = 0;
  for (const { position, timeUs, author, drafts } of rows) {
    expect(position).toBe(projection.entries.length);
    expect(timeUs).toBeGreaterThan(lastUs);
    expect(projection.append(drafts, timeUs, author)).toHaveLength(drafts.length);
    lastUs = timeUs + drafts.length - 1;
  }
}
