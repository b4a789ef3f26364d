/** What a driver makes of a log that grows while it reads it. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createChanges } from '../../src/engine/log/changes.ts';
import { startDriver, type Driver } from '../../src/engine/log/driver.ts';
import { createLogCursor } from '../../src/engine/log/log-cursor.ts';
import type { LogStore } from '../../src/engine/log/store.ts';
import { newId } from '../../src/id.ts';
import type { Draft } from '../../src/log.ts';
import type { Operations } from '../../src/operations.ts';
import type { LogCursor } from '../../src/session/cursor.ts';
import { createReader, type Reader } from '../../src/session/reader.ts';
import { created, said } from '../support/conversation.ts';
import { eventually } from '../support/eventually.ts';
import { createLogDatabase, type LogDatabase } from '../support/log-store.ts';
import { createBus, SILENT } from '../support/two-engines.ts';

const ID = 'sesn_driven';
const INTERRUPT: Draft = { event: { id: 'i', type: 'user.interrupt' } };
const forever = new AbortController().signal;

let database: LogDatabase;
let store: LogStore;
let changes: ReturnType<typeof createChanges>;
let driver: Driver | undefined;
let requests: AbortSignal[];

const operations: Operations = {
  think: (_, { watch }) =>
    watch((signal) => {
      requests.push(signal);
      return new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason as Error)),
      );
    }, 'leave'),
  provision: () => Promise.reject(new Error('no hand is needed')),
  execute: () => Promise.reject(new Error('no tool is called')),
  recall: () => Promise.reject(new Error('nothing is recalled')),
  release: async () => undefined,
};

beforeEach(async () => {
  database = await createLogDatabase('sqlite');
  store = await database.open();
  changes = createChanges(createBus()());
  requests = [];
  await store.create(ID, [{ position: 0, timeUs: 1, author: 'server', drafts: [created()] }], false);
  await send(said('m', 'hi'));
});

afterEach(async () => {
  await driver?.giveUp();
  driver = undefined;
  changes.close();
  await database.close();
});

async function send(...drafts: Draft[]): Promise<void> {
  await store.appendClient(ID, drafts, Date.now() * 1000);
}

function read(around: Partial<LogCursor> = {}): Reader {
  const cursor = createLogCursor(ID, { store, changes, unpack: async (entry) => entry });
  return createReader(Object.create(cursor, Object.getOwnPropertyDescriptors(around)) as LogCursor);
}

async function drive(reader: Reader, itsStore = store): Promise<Driver> {
  const lease = await store.claim(ID, 'a harness');
  if (!lease) throw new Error('somebody else has the session');
  driver = startDriver(lease, {
    store: itsStore,
    operations,
    readerOf: () => reader,
    wrote: () => changes.announce(ID, 'byHarness'),
    rests: () => undefined,
    forget: () => undefined,
    newId: () => newId('sevt'),
    log: SILENT,
  });
  return driver;
}

/** What the harness does once it is told that the log is longer than its driver knows. */
async function sweep({ length }: Driver): Promise<boolean> {
  const head = await store.head(ID);
  const isLonger = head !== undefined && head.length > length;
  if (isLonger) driver?.nudge();
  return isLonger;
}

test('what comes while the driver reads the rest of a log is left for its next reading', async () => {
  const reader = read();
  let isArmed = false;
  const growing: Reader = Object.create(reader, {
    at: {
      async value(positions: readonly number[]) {
        const entries = await reader.at(positions);
        if (!isArmed) return entries;
        isArmed = false;
        const { length } = reader.index;
        await send(INTERRUPT);
        await reader.until(() => reader.view !== undefined && reader.view.length > length, forever);
        return entries;
      },
    },
  }) as Reader;
  const one = await drive(growing);
  await eventually(() => expect(requests).toHaveLength(1));
  isArmed = true;
  await send(said('n', 'and'));
  one.nudge();
  await eventually(async () => {
    await sweep(one);
    expect(requests[0]?.aborted).toBe(true);
  });
});

test('a driver that begins takes no more for read than it knows the sense of', async () => {
  const heavy = Promise.withResolvers<void>();
  let isHeavy = false;
  const reader = read({
    async unpack(entry) {
      if (isHeavy) await heavy.promise;
      return entry;
    },
  });
  let isArmed = true;
  const growing: LogStore = {
    ...store,
    async head(id) {
      const head = await store.head(id);
      if (!isArmed || head === undefined) return head;
      isArmed = false;
      isHeavy = true;
      await send({ event: { id: 'u', type: 'session.updated', title: 'new' } }, INTERRUPT);
      // Another one follows the log in this process.
      void reader.until(() => reader.view !== undefined && reader.view.length > head.length + 1, forever);
      await eventually(() => expect(reader.index.length).toBeGreaterThan(head.length + 1));
      // By then a driver that does not wait for the sense would have gone on.
      setTimeout(heavy.resolve, 50);
      return await store.head(id);
    },
  };
  const one = await drive(reader, growing);
  await eventually(async () => {
    await sweep(one);
    const rows = await store.read(ID, 0, 100);
    expect(rows.flatMap(({ drafts }) => drafts)).toContainEqual({ processed: 'i' });
  });
});
