/** Runs that are over come into the archive, each once, whoever puts them there and whatever fails. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createHomes } from '../../src/engine/log/homes.ts';
import { createChanges } from '../../src/engine/log/changes.ts';
import { openLogStore } from '../../src/engine/log/open.ts';
import type { LogStore } from '../../src/engine/log/store.ts';
import { createHistoryCursor } from '../../src/engine/temporal/history-cursor.ts';
import { readRun, sealRuns } from '../../src/engine/temporal/sealing.ts';
import type { Tally } from '../../src/log.ts';
import type { Homes } from '../../src/session/home.ts';
import { HistoryGapError, SessionGoneError } from '../../src/session.ts';
import { verifySession } from '../../src/session/verify.ts';
import { created, said } from '../support/conversation.ts';
import { createTestDatabase, execute, type TestDatabase } from '../support/database.ts';
import {
  completed,
  continued,
  createFakeSource,
  ENDED,
  NOISE,
  noted,
  signaled,
  started,
} from '../support/history.ts';
import { configOf } from '../support/log-store.ts';
import { createBus } from '../support/two-engines.ts';

const ID = 'sesn_1';
const tally = (length: number, queued: readonly string[] = []): Tally => ({
  length,
  clientIds: ['m'],
  queued,
});

/** Three runs of which two are over: five entries, one client event repeated in the second run. */
function chain() {
  const source = createFakeSource({ pageSize: 3 });
  source.add('run-1', [started([created()]), NOISE, signaled([said('m', 'hi')]), continued('run-2')]);
  source.add('run-2', [
    started([], tally(2, ['m'])),
    signaled([said('m', 'hi')]),
    noted([{ processed: 'm' }]),
    completed([{ event: { id: 'r', type: 'session.status_running' } }]),
    continued('run-3'),
  ]);
  source.add('run-3', [started([], tally(4)), signaled([said('n', 'more')])]);
  return source;
}

let database: TestDatabase;
let store: LogStore;
let homes: Homes;

beforeEach(async () => {
  database = await createTestDatabase('sqlite');
  store = await openLogStore(configOf(database.place), 'test');
  homes = createHomes(store, createChanges(createBus()()));
  const record = `insert into sessions (id, workspace_id, agent_id, agent_version, environment_id, created_at, state) values ('${ID}', 'w', 'a', 1, 'e', '', 'ready')`;
  await execute(database.place, `pragma foreign_keys = off; ${record}`);
});
afterEach(async () => {
  await store.close();
  await database.remove();
});

async function positions(): Promise<unknown[]> {
  return (await store.read(ID, 0, 100)).map(({ position, drafts }) => [position, drafts.length]);
}

describe('runs that are over', () => {
  test('are sealed in order, once, and the one at work is not', async () => {
    const source = chain();
    const deps = { homes, pagesOf: () => source };
    expect(await sealRuns(deps, ID, 1)).toBe(true);
    expect(await homes.find(ID)).toMatchObject({ engine: 'temporal', life: 1, base: 4, nextRunId: 'run-3' });
    expect(await positions()).toEqual([
      [0, 1],
      [1, 1],
      [2, 1],
      [3, 1],
    ]);
    const { pages } = source;
    expect(await sealRuns(deps, ID, 1)).toBe(true);
    expect(source.pages).toBe(pages);
    expect((await homes.segments(ID)).map(({ from, to, runId }) => [from, to, runId])).toEqual([
      [0, 2, 'run-1'],
      [2, 4, 'run-2'],
    ]);
  });

  test('are sealed to the end when the life is over', async () => {
    const source = chain();
    source.add('run-3', [ENDED]);
    expect(await sealRuns({ homes, pagesOf: () => source }, ID, 1)).toBe(true);
    expect(await homes.find(ID)).toMatchObject({ base: 5, isSealed: true, nextRunId: undefined });
    expect(await homes.segments(ID)).toHaveLength(3);
  });

  test('are sealed by many at once as by one', async () => {
    const source = chain();
    const all = Array.from({ length: 8 }, () => sealRuns({ homes, pagesOf: () => source }, ID, 1));
    expect(new Set(await Promise.all(all))).toEqual(new Set([true]));
    expect(await homes.segments(ID)).toHaveLength(2);
    expect(await positions()).toHaveLength(4);
  });

  test('are sealed by whoever comes next when somebody fails', async () => {
    const source = chain();
    for (const kind of ['head', 'page'] as const) {
      source.fail(kind, new Error('the server is away'));
      await expect(sealRuns({ homes, pagesOf: () => source }, ID, 1)).rejects.toThrow('the server is away');
    }
    await sealRuns({ homes, pagesOf: () => source }, ID, 1);
    expect(await positions()).toHaveLength(4);
  });

  test('of another life, or of one whose histories are gone, are left alone', async () => {
    const source = chain();
    expect(await sealRuns({ homes, pagesOf: () => source }, ID, 2)).toBe(true);
    source.vanish();
    expect(await sealRuns({ homes, pagesOf: () => source }, ID, 1)).toBe(false);
    expect(await homes.find(ID)).toBeUndefined();
  });

  test('that begin elsewhere than the archive ends are refused', async () => {
    const source = createFakeSource();
    source.add('run-1', [started([created()]), continued('run-2')]);
    source.add('run-2', [started([], tally(7)), ENDED]);
    await expect(sealRuns({ homes, pagesOf: () => source }, ID, 1)).rejects.toThrow(
      'ends at 1, and the run run-2 begins at 7',
    );
    expect(await homes.segments(ID)).toHaveLength(1);
  });
});

describe('verification', () => {
  const verify = async (lives: Parameters<typeof verifySession>[0]['lives']) =>
    await verifySession({ homes, lives, lengthOf: async () => 5 }, ID);
  const read = (source: ReturnType<typeof chain>) => ({
    read: async (_: string, __: number, runId: string) => {
      try {
        return await readRun(source, runId);
      } catch (error) {
        if (error instanceof SessionGoneError) return undefined;
        throw error;
      }
    },
  });

  test('finds archive and histories alike, or the histories gone', async () => {
    const source = chain();
    await sealRuns({ homes, pagesOf: () => source }, ID, 1);
    const { segments, length, damage } = await verify(read(source));
    expect([length, damage]).toEqual([5, undefined]);
    expect(segments.map(({ archive, history }) => [archive, history])).toEqual([
      ['intact', 'same'],
      ['intact', 'same'],
    ]);
    source.vanish();
    expect((await verify(read(source))).segments).toMatchObject([
      { archive: 'intact', history: 'gone' },
      { archive: 'intact', history: 'gone' },
    ]);
  });

  test('finds what was changed in the archive, there and in the history', async () => {
    const source = chain();
    await sealRuns({ homes, pagesOf: () => source }, ID, 1);
    const change = `update log_carriers set drafts = replace(drafts, 'running', 'idle') where position = 3`;
    await execute(database.place, change);
    const { segments, damage } = await verify(read(source));
    expect(segments).toMatchObject([
      { archive: 'intact', history: 'same' },
      { archive: 'damaged', history: 'differs' },
    ]);
    expect(damage).toEqual({
      segment: 1,
      position: 2,
      problem: 'the digest of positions 2 to 3 is another one',
    });
  });

  test('finds what is missing', async () => {
    const source = chain();
    await sealRuns({ homes, pagesOf: () => source }, ID, 1);
    await execute(database.place, 'delete from log_carriers where position = 3');
    const { segments, damage } = await verify(undefined);
    expect(segments[1]).toMatchObject({ archive: 'damaged' });
    expect(damage).toEqual({ segment: 1, position: 3, problem: 'position 3 of the log is missing' });
  });

  test('says that the rest cannot be read, where that is so', async () => {
    await sealRuns({ homes, pagesOf: chain }, ID, 1);
    const lengthOf = async (): Promise<number> => {
      throw new HistoryGapError('what follows is lost');
    };
    const { length, damage } = await verifySession({ homes, lives: undefined, lengthOf }, ID);
    expect([length, damage]).toEqual([
      4,
      { segment: undefined, position: 4, problem: 'what follows is lost' },
    ]);
  });
});

describe('reading what is in the archive', () => {
  async function entries(): Promise<number> {
    const home = await homes.find(ID);
    if (!home) throw new Error('nothing is in the archive');
    const cursor = createHistoryCursor(
      { ...chain(), unpack: async (entry) => entry },
      { ...home, read: (position, limit) => homes.read(ID, position, limit) },
    );
    return (await cursor.next(new AbortController().signal)).length;
  }

  test('fails where something of it is missing, and gives no shorter log', async () => {
    await sealRuns({ homes, pagesOf: chain }, ID, 1);
    expect(await entries()).toBe(4);
    await execute(database.place, 'delete from log_carriers where position = 1');
    await expect(entries()).rejects.toThrow('position 1 of the log is missing');
    await execute(database.place, 'delete from log_carriers');
    await expect(entries()).rejects.toThrow(HistoryGapError);
  });
});
