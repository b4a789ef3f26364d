import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type PostgresServer } from '../../scripts/postgres.ts';
import { createListener, type Listener } from '../../src/postgres/listener.ts';
import { StorageUnavailableError } from '../../src/storage-error.ts';
import { createPostgresDatabase, hasPostgres, query } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

const open: Listener[] = [];

afterEach(async () => {
  for (const listener of open.splice(0)) await listener.close();
});

function create(url: string): Listener {
  const listener = createListener(url);
  open.push(listener);
  return listener;
}

/** What a channel said to one that listens on it. */
function hear(listener: Listener, channel: string) {
  const heard = { payloads: [] as string[], gaps: 0, stop: () => {} };
  heard.stop = listener.listen(
    channel,
    (payload) => heard.payloads.push(payload),
    () => (heard.gaps += 1),
  );
  return heard;
}

const terminate = (url: string): Promise<unknown> =>
  query(
    url,
    `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`,
  );

describe.runIf(hasPostgres)('a listener', () => {
  let url: string;
  let remove: () => Promise<void>;

  beforeAll(async () => {
    ({ url, remove } = await createPostgresDatabase());
  });

  afterAll(() => remove());

  it('hears what others say from the moment that it says so, in their order', async () => {
    const heard = hear(create(url), 'things');
    await eventually(() => expect(heard.gaps).toBe(1));
    const payloads = Array.from({ length: 500 }, (_, at) => `${at} "ä😀'`);
    const other = create(url);
    await eventually(() => other.notify(payloads.map((payload) => ({ channel: 'things', payload }))));
    await eventually(() => expect(heard.payloads).toEqual(payloads));
    expect(heard.gaps).toBe(1);
  });

  it('keeps channels and their listeners apart, whatever they are called', async () => {
    const listener = create(url);
    const names = ['Case', 'case', 'a "quoted"; name', 'x'.repeat(63)];
    const heard = names.map((name) => hear(listener, name));
    const second = hear(listener, 'case');
    await eventually(() => expect(heard.map(({ gaps }) => gaps)).toEqual([1, 1, 1, 1]));
    await listener.notify(names.map((channel) => ({ channel, payload: `to ${channel}` })));
    await eventually(() =>
      expect(heard.map(({ payloads }) => payloads)).toEqual(names.map((name) => [`to ${name}`])),
    );
    expect(second.payloads).toEqual(['to case']);
    expect(() => listener.listen('x'.repeat(64), () => undefined)).toThrow(RangeError);
  });

  it('stops when the last one has stopped, and can begin again', async () => {
    const listener = create(url);
    const [first, second, after] = [hear(listener, 'a'), hear(listener, 'a'), hear(listener, 'after')];
    await eventually(() => expect(after.gaps).toBe(1));
    const say = (payload: string) => listener.notify(['a', 'after'].map((channel) => ({ channel, payload })));
    first.stop();
    await say('1');
    second.stop();
    await say('2');
    const third = hear(listener, 'a');
    await eventually(() => expect(third.gaps).toBe(1));
    await say('3');
    await eventually(() => expect(after.payloads).toEqual(['1', '2', '3']));
    expect([first.payloads, second.payloads, third.payloads]).toEqual([[], ['1'], ['3']]);
    expect(second.gaps).toBe(1);
  });

  it('uses one connection, whose commits nobody waits for', async () => {
    const { url, remove } = await createPostgresDatabase();
    const listener = create(url);
    for (const channel of ['a', 'b', 'c']) hear(listener, channel);
    const last = hear(listener, 'last');
    await eventually(() => expect(last.gaps).toBe(1));
    const others = await query(
      url,
      'select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
    );
    expect(others).toHaveLength(1);
    await remove();
  });

  it('refuses what Postgres would refuse, and goes on', async () => {
    const listener = create(url);
    const heard = hear(listener, 'a');
    await eventually(() => expect(heard.gaps).toBe(1));
    const largest = 'x'.repeat(7999);
    await listener.notify([{ channel: 'a', payload: largest }]);
    await expect(listener.notify([{ channel: 'a', payload: `${largest}x` }])).rejects.toThrow(RangeError);
    await expect(listener.notify([{ channel: 'a', payload: 'ä'.repeat(4000) }])).rejects.toThrow(RangeError);
    await eventually(() => expect(heard.payloads).toEqual([largest]));
    expect(heard.gaps).toBe(1);
  });

  it('says that there was a gap when its connection broke, and hears again', async () => {
    const [listener, other] = [create(url), create(url)];
    const heard = [hear(listener, 'a'), hear(listener, 'b')];
    await eventually(() => expect(heard.map(({ gaps }) => gaps)).toEqual([1, 1]));
    await terminate(url);
    await eventually(() => expect(heard.map(({ gaps }) => gaps)).toEqual([2, 2]));
    await eventually(() => other.notify([{ channel: 'a', payload: 'again' }]));
    await eventually(() => expect(heard[0]?.payloads).toEqual(['again']));
  });

  it('breaks off a connection over which nothing comes back', async () => {
    const { url, remove } = await createPostgresDatabase();
    const listener = create(url);
    const heard = hear(listener, 'a');
    await eventually(() => expect(heard.gaps).toBe(1));
    const [backend] = await query<{ pid: number }>(
      url,
      'select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
    );
    const pid = backend?.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    try {
      await expect(listener.notify([{ channel: 'a', payload: 'lost' }])).rejects.toThrow(
        StorageUnavailableError,
      );
      await eventually(() => expect(heard.gaps).toBe(2));
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await listener.notify([{ channel: 'a', payload: 'there' }]);
    await eventually(() => expect(heard.payloads).toContain('there'));
    await listener.close();
    await remove();
  });

  it('can be closed at any moment, also when there is nobody to connect to', async () => {
    await create(url).close();
    const lost = create('postgres://drover:hidden@127.0.0.1:1/x');
    await expect(lost.notify([{ channel: 'a', payload: '' }])).rejects.toThrow(StorageUnavailableError);
    await lost.close();
    const connected = create(url);
    const heard = hear(connected, 'a');
    await eventually(() => expect(heard.gaps).toBe(1));
    await connected.close();
    await expect(connected.notify([{ channel: 'a', payload: '' }])).rejects.toThrow(StorageUnavailableError);
  });
});

describe.runIf(hasPostgres)('a listener whose server', () => {
  let server: PostgresServer;

  beforeAll(async () => {
    server = await startPostgres({ fsync: 'off' });
  });

  afterAll(() => server.stop());

  it('is killed and comes back hears again, on old channels and new ones', async () => {
    const listener = create(await server.createDatabase());
    const old = hear(listener, 'old');
    await eventually(() => expect(old.gaps).toBe(1));
    await server.kill();
    const between = hear(listener, 'between');
    await expect(listener.notify([{ channel: 'old', payload: 'lost' }])).rejects.toThrow(
      StorageUnavailableError,
    );
    expect([old.gaps, between.gaps]).toEqual([1, 0]);
    await server.restart();
    await eventually(() => expect([old.gaps, between.gaps]).toEqual([2, 1]));
    await listener.notify(['old', 'between'].map((channel) => ({ channel, payload: 'back' })));
    await eventually(() => expect([old.payloads, between.payloads]).toEqual([['back'], ['back']]));
  });
});
