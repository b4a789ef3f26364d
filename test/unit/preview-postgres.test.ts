/** What the way through Postgres has that a socket has not: several APIs, silence instead of a break, lost messages. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startPostgres, type PostgresServer } from '../../scripts/postgres.ts';
import { createListener, type Listener, type Notification } from '../../src/postgres/listener.ts';
import type { PreviewReceiver, PreviewSender } from '../../src/previews.ts';
import { receivePostgresPreviews, sendPostgresPreviews, type Timing } from '../../src/previews/postgres.ts';
import { createPostgresDatabase, hasPostgres } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { connected, delta, listenTo } from '../support/previews.ts';

const TIMING: Timing = { repeatMs: 40, silentMs: 1000, batchMs: 5 };

let url: string;
const open: { close(): unknown }[] = [];

afterEach(async () => {
  // Ends before listeners.
  for (const one of open.splice(0).reverse()) await one.close();
});

function listener(): Listener {
  const one = createListener(url);
  open.push(one);
  return one;
}

function receive(timing = TIMING): PreviewReceiver {
  const receiver = receivePostgresPreviews(listener(), timing);
  open.push(receiver);
  return receiver;
}

/** A sender, and all that it has Postgres notify. */
function send(timing = TIMING): PreviewSender & { sent: Notification[] } {
  const inner = listener();
  const sent: Notification[] = [];
  const notify: Listener['notify'] = (messages) => {
    sent.push(...messages);
    return inner.notify(messages);
  };
  const sender = sendPostgresPreviews({ ...inner, notify }, timing);
  open.push(sender);
  return { ...sender, sent };
}

const frames = (sent: readonly Notification[]): Notification[] =>
  sent.filter(({ channel }) => channel.startsWith('drover_previews_'));

describe.runIf(hasPostgres)('through Postgres', () => {
  let remove: () => Promise<void>;

  beforeEach(async () => {
    ({ url, remove } = await createPostgresDatabase());
  });

  afterEach(() => remove());

  test('several APIs each get what they watch, from several workers', async () => {
    const receivers = [receive(), receive()];
    const both = receivers.map((receiver) => listenTo(receiver, 'both'));
    const own = receivers.map((receiver, at) => listenTo(receiver, `own${at}`));
    const senders = [send(), send(), send()];
    for (const [at, sender] of senders.entries()) {
      for (const heard of [...both, ...own]) heard.got.length = 0;
      for (const heard of both) await connected(sender, 'both', heard);
      for (const [which, heard] of own.entries()) await connected(sender, `own${which}`, heard);
      for (const session of ['both', 'own0', 'own1'])
        sender.send(delta(session, `${session}-${at}`, session));
      await eventually(() => expect(both.map(({ texts }) => texts())).toEqual([['both'], ['both']]));
      await eventually(() => expect(own.map(({ texts }) => texts())).toEqual([['own0'], ['own1']]));
    }
  });

  test('an API that goes leaves the others their previews', async () => {
    const [going, staying] = [receive(), receive()];
    const [first, second] = [listenTo(going, 'a'), listenTo(staying, 'a')];
    const sender = send();
    await connected(sender, 'a', first);
    await connected(sender, 'a', second);
    sender.send(delta('a', 's1', 'one'));
    await eventually(() => expect([first.texts(), second.texts()]).toEqual([['one'], ['one']]));
    await going.close();
    sender.send(delta('a', 's1', 'two'));
    await eventually(() => expect(second.texts()).toEqual(['one', 'two']));
    expect(first.texts()).toEqual(['one']);
  });

  test('a worker knows at once what is watched, not only when it is repeated', async () => {
    const patient = { ...TIMING, repeatMs: 60_000, silentMs: 120_000 };
    const heard = listenTo(receive(patient), 'a');
    const before = send(patient);
    await connected(before, 'a', heard);
    const after = send(patient);
    await eventually(() => {
      after.send(delta('a', 's9', 'watched?'));
      expect(frames(after.sent)).not.toEqual([]);
    });
  });

  test('what was sent is out once it is flushed, and nobody waits for long', async () => {
    const slow = { ...TIMING, batchMs: 60_000 };
    const heard = listenTo(receive(slow), 'a');
    const sender = send(slow);
    let tries = 0;
    await eventually(async () => {
      // What nobody watched yet is missing, so each try is a span of its own.
      sender.send(delta('a', `s${(tries += 1)}`, 'x'));
      await sender.flush();
      expect(heard.texts().length).toBeGreaterThan(0);
    });
    await sender.flush();
  });

  test('frames are gathered, and nothing is notified that nobody watches', async () => {
    const heard = listenTo(receive(), 'a');
    const sender = send();
    await connected(sender, 'a', heard);
    sender.sent.length = 0;
    for (let at = 0; at < 200; at += 1) {
      sender.send(delta('a', 's1', `[${at}]`));
      sender.send(delta('b', 's2', 'unseen'));
    }
    await eventually(() => expect(heard.texts()).toHaveLength(200));
    expect(frames(sender.sent).length).toBeLessThan(20);
    expect(JSON.stringify(sender.sent)).not.toContain('unseen');
    heard.stop();
    await eventually(() => {
      sender.sent.length = 0;
      sender.send(delta('a', 's3', 'nobody'));
      expect(frames(sender.sent)).toEqual([]);
    });
  });

  test('what is flushed has left, and neither others nor a database that hangs keep it waiting', async () => {
    const inner = listener();
    const notified: string[] = [];
    const delays: Promise<unknown>[] = [];
    const notify: Listener['notify'] = async (messages) => {
      await delays.shift();
      await inner.notify(messages);
      notified.push(...messages.map(({ payload }) => payload));
    };
    const sender = sendPostgresPreviews({ ...inner, notify }, { ...TIMING, batchMs: 30 });
    open.push(sender);
    const heard = listenTo(receive({ ...TIMING, silentMs: 60_000 }), 'a');
    await connected(sender, 'a', heard);
    await sender.flush();
    const more = setInterval(() => sender.send(delta('a', 'other', 'more')), 1);
    for (let at = 0; at < 10; at += 1) {
      sender.send(delta('a', 's1', `mine ${at}`));
      await sender.flush();
      expect(notified.join()).toContain(`mine ${at}`);
    }
    clearInterval(more);
    await sender.flush();
    delays.push(new Promise(() => undefined));
    sender.send(delta('a', 's1', 'stuck'));
    await sender.flush();
    expect(notified.join()).not.toContain('stuck');
  });

  test('an API that falls silent is forgotten, and one that is alive is not', async () => {
    const alive = listenTo(receive(), 'a');
    const sender = send();
    await connected(sender, 'a', alive);
    // As a process that was killed: it says once what it watches, and no more.
    const dead = listener();
    const got: string[] = [];
    dead.listen('drover_previews_dead', (payload) => got.push(payload));
    await eventually(async () => {
      await dead.notify([{ channel: 'drover_preview_interest', payload: 'dead 1 0 1 {"watch":["a"]}' }]);
      sender.send(delta('a', 's1', 'x'));
      expect(got.length).toBeGreaterThan(0);
    });
    await eventually(() => {
      sender.sent.length = 0;
      sender.send(delta('a', 's1', 'x'));
      expect(sender.sent.map(({ channel }) => channel)).not.toContain('drover_previews_dead');
    });
    sender.send(delta('a', 's1', 'the last'));
    await eventually(() => expect(alive.texts().at(-1)).toBe('the last'));
  });

  test.each(['out', 'in'] as const)(
    'leaves no hole: of a span that lost a frame on the way %s, nothing more is shown',
    async (way) => {
      let losing = false;
      const inner = listener();
      const receiver = receivePostgresPreviews(
        {
          ...inner,
          listen: (channel, onMessage, onGap) =>
            inner.listen(channel, (payload) => (way === 'in' && losing) || onMessage(payload), onGap),
        },
        TIMING,
      );
      const sender = sendPostgresPreviews(
        {
          ...inner,
          notify: async (messages) => {
            if (way === 'out' && losing) throw new Error('lost');
            await inner.notify(messages);
          },
        },
        TIMING,
      );
      open.push(receiver, sender);
      const heard = listenTo(receiver, 'a');
      await connected(sender, 'a', heard);
      sender.send(delta('a', 's1', 'before'));
      await eventually(() => expect(heard.texts()).toEqual(['before']));
      losing = true;
      sender.send(delta('a', 's1', 'lost'));
      const other = listenTo(receive(), 'a');
      await connected(send(), 'a', other);
      if (way === 'in') await connected(sender, 'a', other);
      losing = false;
      heard.got.length = 0;
      await connected(sender, 'a', heard);
      sender.send(delta('a', 's1', 'after the hole'));
      sender.send(delta('a', 's2', 'another span'));
      await eventually(() => expect(heard.texts()).toEqual(['another span']));
    },
  );

  test('a span that began before anybody watched is not shown from its middle on', async () => {
    const receiver = receive();
    const other = listenTo(receiver, 'other');
    const sender = send();
    await connected(sender, 'other', other);
    sender.send(delta('a', 's1', 'unseen'));
    const heard = listenTo(receiver, 'a');
    await connected(sender, 'a', heard);
    sender.send(delta('a', 's1', 'the middle'));
    sender.send(delta('a', 's2', 'another span'));
    await eventually(() => expect(heard.texts()).toEqual(['another span']));
  });

  test('a database that does not keep up loses the rest of the span, and the worker does not fill up', async () => {
    const heard = listenTo(receive({ ...TIMING, silentMs: 60_000 }), 'a');
    const sender = send({ ...TIMING, silentMs: 60_000 });
    await connected(sender, 'a', heard);
    const load = 'x'.repeat(64 * 1024);
    for (let at = 0; at < 400; at += 1) sender.send(delta('a', 's1', `[${at}]${load}`));
    let tries = 0;
    await eventually(() => {
      sender.send(delta('a', `try${(tries += 1)}`, 'drained'));
      expect(heard.texts()).toContain('drained');
    });
    sender.send(delta('a', 's1', '[400]'));
    sender.send(delta('a', 's2', 'the end'));
    await eventually(() => expect(heard.texts()).toContain('the end'));
    const marks = heard.texts().flatMap((text) => /^\[(\d+)\]/.exec(text)?.[1] ?? []);
    expect(marks.map(Number)).toEqual(Array.from({ length: marks.length }, (_, at) => at));
    expect(marks.length).toBeLessThan(400);
  });

  test('nonsense on its channels harms nobody', async () => {
    const heard = listenTo(receive(), 'a');
    const sender = send();
    await connected(sender, 'a', heard);
    const channel = frames(sender.sent)[0]?.channel ?? '';
    const stranger = listener();
    const nonsense = [
      '',
      'x',
      'x 1 0 1 null',
      'x 2 0 1 [null,[],{},[1,2,3,4]]',
      'x 3 0 1 {"watch":7}',
      'x 4 0 1 {',
    ];
    await eventually(() =>
      stranger.notify(
        [channel, 'drover_preview_interest', 'drover_preview_questions'].flatMap((channel) =>
          nonsense.map((payload) => ({ channel, payload })),
        ),
      ),
    );
    sender.send(delta('a', 's1', 'still here'));
    await eventually(() => expect(heard.texts()).toEqual(['still here']));
  });
});

describe.runIf(hasPostgres)('a server that is killed', () => {
  let server: PostgresServer;

  beforeAll(async () => {
    server = await startPostgres({ fsync: 'off' });
    url = await server.createDatabase();
  });

  afterAll(() => server.stop());

  test('and comes back has both ends meet again', async () => {
    const receiver = receive();
    const heard = listenTo(receiver, 'a');
    const sender = send();
    await connected(sender, 'a', heard);
    sender.send(delta('a', 's1', 'before'));
    await eventually(() => expect(heard.texts()).toEqual(['before']));
    await server.kill();
    sender.send(delta('a', 's1', 'lost'));
    const between = listenTo(receiver, 'between');
    await server.restart();
    heard.got.length = 0;
    await connected(sender, 'a', heard);
    await connected(sender, 'between', between);
    sender.send(delta('a', 's1', 'after the hole'));
    sender.send(delta('a', 's2', 'again'));
    await eventually(() => expect(heard.texts()).toEqual(['again']));
  });
});
