/** How sessions leave the log engine and come to it, in both databases: each step only where it is due. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openLogStore } from '../../src/engine/log/open.ts';
import type { LogStore } from '../../src/engine/log/store.ts';
import type { Draft } from '../../src/log.ts';
import { created, said } from '../support/conversation.ts';
import { createTestDatabase, DATABASE_KINDS, type TestDatabase } from '../support/database.ts';
import { configOf } from '../support/log-store.ts';

const ID = 'sesn_1';
const HOLDER = 'harness-1';
const FIRST = { position: 0, timeUs: 1_000_000, author: 'server', drafts: [created()] } as const;
const running = (id: string): Draft => ({ event: { id, type: 'session.status_running' } });

describe.each(DATABASE_KINDS)('a session on the move (%s)', (kind) => {
  let database: TestDatabase;
  let store: LogStore;

  beforeEach(async () => {
    database = await createTestDatabase(kind);
    store = await openLogStore(configOf(database.place), 'test');
    await store.create(ID, [FIRST], false);
  });
  afterEach(async () => {
    await store.close();
    await database.remove();
  });

  const place = async (): Promise<unknown> => {
    const head = await store.head(ID);
    return head && { place: head.place, lives: head.lives, length: head.length, due: head.due };
  };

  /** What an engine here may do to a session that is elsewhere: nothing. */
  async function checkElsewhere(): Promise<void> {
    const before = await store.head(ID);
    expect(await store.appendClient(ID, [said('late', 'too late')], 2_000_000)).toBe(false);
    expect(await store.touch(ID)).toBe(false);
    expect(await store.claim(ID, HOLDER)).toBeUndefined();
    expect(await store.due(HOLDER, 10)).toEqual([]);
    expect(await store.head(ID)).toEqual(before);
  }

  test('at rest is sealed at once, and arrives', async () => {
    expect(await store.sendAway(ID)).toBe(true);
    expect(await place()).toEqual({ place: 'sealed', lives: 1, length: 1, due: false });
    expect(await store.sendAway(ID)).toBe(false);
    await checkElsewhere();
    expect(await store.moving(10)).toEqual([ID]);
    await store.arrived(ID, 2);
    expect(await place()).toMatchObject({ place: 'sealed' });
    await store.arrived(ID, 1);
    expect(await place()).toMatchObject({ place: 'away' });
    expect(await store.moving(10)).toEqual([]);
    await checkElsewhere();
  });

  test('that lingers in a harness is sealed under its hands', async () => {
    await store.beat(HOLDER);
    const lease = await store.claim(ID, HOLDER);
    if (!lease) throw new Error('not claimed');
    await store.sendAway(ID);
    expect(await place()).toMatchObject({ place: 'sealed' });
    expect((await store.head(ID))?.holder).toBeNull();
    const write = { expected: 1, drafts: [running('r')], nowUs: 2_000_000, working: true };
    expect(await store.append(lease, write)).toEqual({ refused: 'fenced' });
    expect(await store.release(lease, { length: 1, due: true, lost: true })).toBe(false);
    expect(await place()).toEqual({ place: 'sealed', lives: 1, length: 1, due: false });
  });

  test('at work goes on, and is sealed when it is given back', async () => {
    await store.beat(HOLDER);
    await store.appendClient(ID, [said('m', 'hi')], 2_000_000);
    const lease = await store.claim(ID, HOLDER);
    if (!lease) throw new Error('not claimed');
    expect(await store.sendAway(ID)).toBe(true);
    expect(await store.sendAway(ID)).toBe(false);
    expect(await place()).toEqual({ place: 'leaving', lives: 0, length: 2, due: true });
    expect(await store.moving(10)).toEqual([ID]);
    expect(await store.appendClient(ID, [said('n', 'more')], 3_000_000)).toBe(true);
    const write = { expected: 3, drafts: [{ processed: 'm' }], nowUs: 4_000_000, working: true };
    expect(await store.append(lease, write)).toHaveProperty('ok');
    // Too early: the log is longer than the harness knows.
    expect(await store.release(lease, { length: 3, due: false, lost: false })).toBe(false);
    expect(await place()).toMatchObject({ place: 'leaving' });
    // To be gone on with by another harness, it stays.
    expect(await store.release(lease, { length: 4, due: true, lost: false })).toBe(true);
    expect(await place()).toMatchObject({ place: 'leaving', due: true });
    const next = await store.claim(ID, HOLDER);
    if (!next) throw new Error('not claimed');
    expect(await store.release(next, { length: 4, due: false, lost: false })).toBe(true);
    expect(await place()).toEqual({ place: 'sealed', lives: 1, length: 4, due: false });
    await checkElsewhere();
  });

  test('that is asked for anew while nothing is due any more is sealed', async () => {
    await store.beat(HOLDER);
    await store.appendClient(ID, [said('m', 'hi')], 2_000_000);
    const lease = await store.claim(ID, HOLDER);
    if (!lease) throw new Error('not claimed');
    await store.sendAway(ID);
    const write = { expected: 2, drafts: [], nowUs: 3_000_000, working: false };
    await store.append(lease, write);
    expect(await store.sendAway(ID)).toBe(true);
    expect(await place()).toMatchObject({ place: 'sealed', lives: 1 });
  });

  test('comes back with what it has written elsewhere, once', async () => {
    await store.sendAway(ID);
    const further = [
      { position: 1, timeUs: 5_000_000, author: 'client', drafts: [said('m', 'hi')] },
      { position: 2, timeUs: 6_000_000, author: 'server', drafts: [running('r'), { processed: 'm' }] },
    ] as const;
    await store.expect(ID);
    expect(await place()).toMatchObject({ place: 'sealed' });
    await store.arrived(ID, 1);
    await store.adopt(ID, 1, further);
    expect(await place()).toMatchObject({ place: 'away' });
    await store.expect(ID);
    await store.expect(ID);
    expect(await place()).toMatchObject({ place: 'coming' });
    expect(await store.moving(10)).toEqual([ID]);
    await checkElsewhere();
    await store.adopt(ID, 2, further);
    await store.adopt(ID, 1, further.slice(1));
    expect(await place()).toMatchObject({ place: 'coming' });

    const epoch = (await store.head(ID))?.epoch ?? 0;
    await store.adopt(ID, 1, further);
    expect(await place()).toEqual({ place: 'here', lives: 1, length: 4, due: true });
    expect((await store.head(ID))?.epoch).toBe(epoch + 1);
    expect(await store.read(ID, 0, 10)).toEqual([FIRST, ...further]);
    await store.adopt(ID, 1, further);
    expect(await store.read(ID, 0, 10)).toHaveLength(3);
    // What a client repeats of it is known, and what follows comes later than all of it.
    expect(await store.appendClient(ID, [said('m', 'hi')], 1)).toBe(true);
    expect(await store.appendClient(ID, [said('n', 'more')], 1)).toBe(true);
    expect((await store.read(ID, 4, 10))[0]).toMatchObject({ position: 4, timeUs: 6_000_002 });
  });

  test('may come with nothing new, or for good', async () => {
    await store.sendAway(ID);
    await store.arrived(ID, 1);
    await store.expect(ID);
    await store.adopt(ID, 1, []);
    expect(await place()).toEqual({ place: 'here', lives: 1, length: 1, due: true });
    await store.expect('sesn_2');
    const over: Draft = { event: { id: 'over', type: 'session.status_terminated' } };
    await store.adopt('sesn_2', 1, [{ ...FIRST, drafts: [created(), over] }]);
    expect(await store.head('sesn_2')).toMatchObject({ place: 'here', state: 'terminated', length: 2 });
    expect(await store.appendClient('sesn_2', [said('m', 'hi')], 9_000_000)).toBe(false);
    expect(await store.sendAway('sesn_2')).toBe(false);
  });

  test('moves no more once it is being deleted', async () => {
    for (const steps of [
      [],
      [() => store.arrived(ID, 1)],
      [() => store.arrived(ID, 1), () => store.expect(ID)],
    ] as const) {
      await store.remove(ID);
      await store.create(ID, [FIRST], false);
      await store.sendAway(ID);
      for (const step of steps) await step();
      const before = await store.head(ID);
      await store.startClosing(ID);
      expect(await store.moving(10)).toEqual([]);
      await store.adopt(ID, 1, []);
      await store.expect(ID);
      const after = await store.head(ID);
      expect(after).toMatchObject({ state: 'closing', due: false, place: before?.place });
      expect(await store.claim(ID, HOLDER)).toBeUndefined();
    }
  });

  test('whose harness is silent is taken over, and still leaves', async () => {
    await store.appendClient(ID, [said('m', 'hi')], 2_000_000);
    await store.claim(ID, 'harness-that-never-beat');
    await store.sendAway(ID);
    await store.beat(HOLDER);
    expect(await store.due(HOLDER, 10)).toEqual([{ sessionId: ID, length: 2 }]);
    const lease = await store.claim(ID, HOLDER);
    expect(lease?.head.place).toBe('leaving');
  });

  describe('of which runs are sealed', () => {
    const digest = 'd'.repeat(64);
    const segment = {
      number: 0,
      from: 0,
      to: 2,
      base: 1,
      life: 1,
      runId: 'run-1',
      sha256: digest,
      after: null,
      nextRun: 'run-2',
      carriers: [{ position: 1, timeUs: 5_000_000, author: 'client', drafts: [said('m', 'hi')] }],
    } as const;

    beforeEach(async () => {
      await store.sendAway(ID);
      await store.arrived(ID, 1);
    });

    test('takes each in once, and only what follows', async () => {
      expect(await store.seal(ID, { ...segment, base: 2 })).toBe(false);
      expect(await store.seal(ID, { ...segment, life: 2 })).toBe(false);
      expect(await store.seal(ID, { ...segment, after: 'run-0' })).toBe(false);
      expect(await store.seal(ID, segment)).toBe(true);
      expect(await store.seal(ID, segment)).toBe(false);
      expect(await store.head(ID)).toMatchObject({
        length: 2,
        lastUs: 5_000_000,
        nextRun: 'run-2',
        place: 'away',
      });
      expect(await store.read(ID, 0, 10)).toEqual([FIRST, ...segment.carriers]);
      const { number, from, to, life, runId, sha256 } = segment;
      expect(await store.segments(ID)).toEqual([{ number, from, to, life, runId, sha256 }]);
      await store.remove(ID);
      expect(await store.segments(ID)).toEqual([]);
    });

    test('takes none in while it is elsewhere or being deleted', async () => {
      await store.expect(ID);
      expect(await store.seal(ID, segment)).toBe(false);
      await store.startClosing(ID);
      expect(await store.seal(ID, segment)).toBe(false);
    });

    test('is over when a run says so', async () => {
      const over: Draft = { event: { id: 'o', type: 'session.status_terminated' } };
      const carriers = [{ position: 1, timeUs: 5_000_000, author: 'client', drafts: [over] }] as const;
      expect(await store.seal(ID, { ...segment, carriers, nextRun: '' })).toBe(true);
      expect(await store.head(ID)).toMatchObject({ state: 'terminated', nextRun: '' });
      await store.revive(ID, 1);
      expect(await place()).toMatchObject({ place: 'away' });
    });

    test('is taken up again after its life was ended, with what is in the archive', async () => {
      await store.revive(ID, 2);
      expect(await place()).toMatchObject({ place: 'away' });
      await store.revive(ID, 1);
      await store.revive(ID, 1);
      expect(await place()).toMatchObject({ place: 'reviving', lives: 1 });
      expect(await store.moving(10)).toEqual([ID]);
      await checkElsewhere();
      expect(await store.seal(ID, segment)).toBe(true);
      await store.reborn(ID, 2);
      expect(await place()).toMatchObject({ place: 'reviving' });
      await store.reborn(ID, 1);
      expect(await place()).toMatchObject({ place: 'sealed', lives: 2, length: 2 });
      expect((await store.head(ID))?.nextRun).toBeNull();
      await store.arrived(ID, 2);
      expect(await place()).toMatchObject({ place: 'away' });
    });

    test('without a head gets one with its first run, unless it has no record', async () => {
      const first = { ...segment, base: 0, to: 1, carriers: [FIRST] };
      expect(await store.seal('sesn_2', first)).toBe(false);
      await store.revive('sesn_2', 1);
      expect(await store.head('sesn_2')).toBeUndefined();
    });
  });
});
