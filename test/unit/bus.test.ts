/** One contract for every way that previews and notices take. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openApiBus, openWorkerBus } from '../../src/bus.ts';
import type { RoleConfig } from '../../src/config.ts';
import type { PreviewReceiver, PreviewSender } from '../../src/previews.ts';

import { createTestDatabase, DATABASE_KINDS, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { connected, delta, listenTo } from '../support/previews.ts';

/** As the settings choose them: a socket with SQLite, else through Postgres. */
describe.each(DATABASE_KINDS)('beside %s', (kind) => {
  let folder: string;
  let database: TestDatabase;
  let bus: RoleConfig['bus'];
  /** The end of the bus that previews belong to. */
  let open: Map<PreviewReceiver | PreviewSender, { close(): Promise<void> }>;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'previews-'));
    database = await createTestDatabase(kind);
    bus = 'url' in database.place ? { url: database.place.url } : { path: join(folder, 'bus.sock') };
    open = new Map();
  });

  afterEach(async () => {
    for (const one of open.values()) await one.close();
    await database.remove();
    await rm(folder, { recursive: true });
  });

  async function receive(): Promise<PreviewReceiver> {
    const end = await openApiBus(bus);
    open.set(end.previews, end);
    return end.previews;
  }

  function send(): PreviewSender {
    const end = openWorkerBus(bus);
    open.set(end.previews, end);
    return end.previews;
  }

  async function close(previews: PreviewReceiver | PreviewSender): Promise<void> {
    await open.get(previews)?.close();
    open.delete(previews);
  }

  describe('between a worker and the API', () => {
    test('what is watched arrives, in order and whole', async () => {
      const receiver = await receive();
      const sender = send();
      const listener = listenTo(receiver, 'a');
      await connected(sender, 'a', listener);
      const texts = ['one', 'two\nlines', 'ä😀', '\u2028', 'x'.repeat(100_000), 'last'];
      for (const text of texts) sender.send(delta('a', 's1', text));
      await eventually(() => expect(listener.texts()).toEqual(texts));
    });

    test('equal frames are as many as were sent', async () => {
      const receiver = await receive();
      const sender = send();
      const listener = listenTo(receiver, 'a');
      await connected(sender, 'a', listener);
      const texts = Array.from({ length: 50 }, () => 'again');
      for (const text of texts) sender.send(delta('a', 's1', text));
      await eventually(() => expect(listener.texts()).toEqual(texts));
    });

    test('nothing is sent that nobody watches', async () => {
      const receiver = await receive();
      const sender = send();
      const a = listenTo(receiver, 'a');
      await connected(sender, 'a', a);
      sender.send(delta('b', 's1', 'unseen'));
      const b = listenTo(receiver, 'b');
      await connected(sender, 'b', b);
      sender.send(delta('b', 's2', 'seen'));
      await eventually(() => expect(b.texts()).toEqual(['seen']));
      expect(a.texts()).toEqual([]);
    });

    test('all listeners of a session get it, until each stops', async () => {
      const receiver = await receive();
      const sender = send();
      const first = listenTo(receiver, 'a');
      const second = listenTo(receiver, 'a');
      await connected(sender, 'a', first);
      sender.send(delta('a', 's1', 'both'));
      await eventually(() => expect([first.texts(), second.texts()]).toEqual([['both'], ['both']]));
      first.stop();
      sender.send(delta('a', 's1', 'one'));
      await eventually(() => expect(second.texts()).toEqual(['both', 'one']));
      expect(first.texts()).toEqual(['both']);
      second.stop();
      const other = listenTo(receiver, 'other');
      await connected(sender, 'other', other);
      sender.send(delta('a', 's1', 'nobody'));
      const third = listenTo(receiver, 'a');
      await connected(sender, 'a', third);
      expect(third.texts()).toEqual([]);
    });

    test('several workers talk to one API', async () => {
      const receiver = await receive();
      const listener = listenTo(receiver, 'a');
      const senders = [send(), send(), send()];
      for (const [at, sender] of senders.entries()) {
        listener.got.length = 0;
        await connected(sender, 'a', listener);
        sender.send(delta('a', `s${at}`, `from ${at}`));
        await eventually(() => expect(listener.texts()).toEqual([`from ${at}`]));
      }
    });
  });

  describe('a restart', () => {
    test('of the API: the worker comes back by itself, and watches for the new one', async () => {
      const before = await receive();
      const sender = send();
      const first = listenTo(before, 'a');
      await connected(sender, 'a', first);
      await close(before);
      sender.send(delta('a', 's1', 'into the void'));
      const after = await receive();
      const second = listenTo(after, 'a');
      await connected(sender, 'a', second);
      sender.send(delta('a', 's2', 'again'));
      await eventually(() => expect(second.texts()).toEqual(['again']));
      expect(first.texts()).toEqual([]);
    });

    test('of the worker: the API tells the new one what is watched', async () => {
      const receiver = await receive();
      const listener = listenTo(receiver, 'a');
      const before = send();
      await connected(before, 'a', listener);
      await close(before);
      listener.got.length = 0;
      const after = send();
      await connected(after, 'a', listener);
      after.send(delta('a', 's1', 'again'));
      await eventually(() => expect(listener.texts()).toEqual(['again']));
    });
  });
});
