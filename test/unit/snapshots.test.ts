/** What is noted of a hand's files behind a call, and what a fork's first hand begins with. */
import { describe, expect, test } from 'vitest';
import { InterruptedError } from '../../src/brain.ts';
import { HandGoneError, type Hands } from '../../src/hands.ts';
import { type Body, type Draft } from '../../src/log.ts';
import type { Sessions } from '../../src/session.ts';
import { NoSnapshotError, SNAPSHOT_LIMITS } from '../../src/snapshot.ts';
import { createSnapshots, type Snapshots } from '../../src/snapshots.ts';
import { createMemoryStore, type MemoryStore } from '../support/snapshots.ts';
import { collectLog, sliceOf } from '../support/projection.ts';

const HAND = { id: 'hand_1', kind: 'test' };
const NOTED = { id: 'sevt_new', type: 'x.hand_snapshot', hand_id: 'hand_1', tool_use_id: 'call_1' };

interface World {
  readonly snapshots: Snapshots;
  readonly store: MemoryStore;
  readonly restored: string[];
  readonly warnings: unknown[];
}

/** `take`: what a hand does that is asked for a snapshot. */
function createWorld({
  take = async () => ({ id: 'snap', bytes: 5, addedBytes: 2, takenUs: 7 }),
  log = [],
  areTaken = true,
}: {
  readonly take?: Hands['snapshot'];
  readonly log?: readonly object[];
  readonly areTaken?: boolean;
}): World {
  const store = createMemoryStore();
  const restored: string[] = [];
  const warnings: unknown[] = [];
  const projection = collectLog();
  log.forEach((body, at) =>
    projection.append([{ event: { id: `sevt_${at}`, ...body } as Body } satisfies Draft], at, 'server'),
  );
  const sessions: Pick<Sessions, 'getEvents'> = {
    getEvents: async (_id, slice = {}) => sliceOf(projection.entries, slice),
  };
  const hands: Pick<Hands, 'snapshot' | 'restore'> = {
    snapshot: take,
    async restore(_hand, snapshot) {
      restored.push(snapshot);
    },
  };
  const snapshots = createSnapshots({
    sessions: sessions as Sessions,
    hands: hands as Hands,
    storeOf: () => store,
    areTaken,
    newId: () => 'sevt_new',
    log: { warn: (...said) => void warnings.push(said) },
  });
  return { snapshots, store, restored, warnings };
}

const after = ({ snapshots }: World, signal = new AbortController().signal): Promise<Draft> =>
  snapshots.after({ sessionId: 'sesn_1', callId: 'call_1', hand: HAND, signal });

describe('behind a call', () => {
  test('stands its snapshot, with what it costs', async () => {
    expect(await after(createWorld({}))).toEqual({
      event: { ...NOTED, snapshot: 'snap', bytes: 5, added_bytes: 2, taken_us: 7 },
    });
  });

  test.each([
    [new NoSnapshotError('it is too large'), 'it is too large'],
    [new HandGoneError('killed'), 'the sandbox was lost'],
    [new Error('password of the database'), 'the snapshot could not be kept'],
  ])('stands why there is none: %s', async (error, reason) => {
    const world = createWorld({
      take: async () => {
        throw error;
      },
    });
    expect(await after(world)).toEqual({ event: { ...NOTED, reason } });
    expect(world.warnings).toHaveLength(reason === 'the snapshot could not be kept' ? 1 : 0);
  });

  test('stands that snapshots are switched off, and the hand is not asked', async () => {
    const take = async (): Promise<never> => {
      throw new NoSnapshotError('asked');
    };
    expect(await after(createWorld({ take, areTaken: false }))).toEqual({
      event: { ...NOTED, reason: 'snapshots were switched off (DROVER_SNAPSHOTS)' },
    });
  });

  test('stands that it was interrupted, when that comes while the hand looks', async () => {
    const interrupted = new AbortController();
    const take: Hands['snapshot'] = (_hand, _store, { signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
        interrupted.abort(new InterruptedError('interrupted'));
      });
    expect(await after(createWorld({ take }), interrupted.signal)).toMatchObject({
      event: { reason: 'it was interrupted' },
    });
  });

  test('stands the snapshot also when the call itself was interrupted', async () => {
    const take: Hands['snapshot'] = async (_hand, _store, { signal }) => {
      signal.throwIfAborted();
      return { id: 'snap', bytes: 5, addedBytes: 2, takenUs: 7 };
    };
    const signal = AbortSignal.abort(new InterruptedError('interrupted'));
    expect(await after(createWorld({ take }), signal)).toMatchObject({ event: { snapshot: 'snap' } });
  });
});

describe("a session's snapshots", () => {
  const kept = (added: number): object => ({
    ...NOTED,
    snapshot: 's',
    bytes: 1,
    added_bytes: added,
    taken_us: 1,
  });
  const put: Hands['snapshot'] = async (_hand, store) => {
    await store.put([Buffer.from('content')]);
    return { id: 'snap', bytes: 7, addedBytes: 7, takenUs: 7 };
  };
  const full = SNAPSHOT_LIMITS.sessionBytes - 6;

  test('end at what a session may keep in all', async () => {
    const world = createWorld({ take: put, log: [kept(full - 10), { ...NOTED, reason: 'none' }, kept(10)] });
    expect(await after(world)).toMatchObject({
      event: { reason: 'the snapshots of this session have reached 2 GiB' },
    });
    expect(world.store.puts).toEqual([]);
    expect(await after(createWorld({ take: put, log: [kept(full - 1)] }))).toMatchObject({
      event: { snapshot: 'snap' },
    });
  });

  test('do not count what another session has kept from which it was forked, but what it took over', async () => {
    const mark = { type: 'x.session_forked', session_id: 'sesn_0', position: 1, snapshot: 's' };
    const log = (added: number): object[] => [kept(full), kept(full), { ...mark, added_bytes: added }];
    expect(await after(createWorld({ take: put, log: log(3) }))).toMatchObject({
      event: { snapshot: 'snap' },
    });
    expect(await after(createWorld({ take: put, log: log(full) }))).toMatchObject({
      event: { reason: expect.stringContaining('2 GiB') as string },
    });
  });
});

describe('a hand that was just made', () => {
  const mark = { type: 'x.session_forked', session_id: 'sesn_0', position: 1 };
  const made = { type: 'x.hand_provisioned', hand: HAND };
  const signal = new AbortController().signal;

  test.each([
    ['in a fork, has its snapshot', [made, { ...mark, snapshot: 'one' }], 'one'],
    [
      'in a fork of a fork, has the last one',
      [
        { ...mark, snapshot: 'one' },
        { ...mark, snapshot: 'two' },
      ],
      'two',
    ],
    ['in a fork whose first hand was lost, is empty', [{ ...mark, snapshot: 'one' }, made], null],
    ['in a fork without a snapshot, is empty', [{ ...mark, snapshot: 'one' }, mark], null],
    ['in any other session, is empty', [], null],
  ])('%s', async (_, log, snapshot) => {
    const { snapshots, restored } = createWorld({ log });
    expect(await snapshots.restore('sesn_1', HAND, signal)).toBe(snapshot);
    expect(restored).toEqual(snapshot === null ? [] : [snapshot]);
  });

  test('has it also where none are taken any more', async () => {
    const { snapshots, restored } = createWorld({ log: [{ ...mark, snapshot: 'one' }], areTaken: false });
    expect(await snapshots.restore('sesn_1', HAND, signal)).toBe('one');
    expect(restored).toEqual(['one']);
  });
});
