/** What a session costs in its engine's store, and what it says it used. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collect } from '../support/control-plane.ts';
import { server } from '../support/client.ts';
import { openProbe, sizeOf, untilIdlePast, type Probe, type Size } from '../support/probe.ts';
import { message, only, script, textOf, untilIdle, useTestbed } from '../support/turns.ts';

const bed = useTestbed();
const { sessions } = bed.client.beta;
const { events } = sessions;
const WATCHERS = 10;

let probe: Probe;
beforeAll(async () => {
  probe = await openProbe(server());
});
afterAll(() => probe.close());

async function stored(id: string): Promise<Size> {
  return sizeOf(await probe.writes(id));
}

/** How far two sizes are apart, as a share of the second. */
function share(a: number, b: number): number {
  return Math.abs(a - b) / b;
}

describe('what is stored of a session', () => {
  it('a late turn adds as much as an early one', async () => {
    const live = await bed.live();
    const sizes: Size[] = [];
    for (let turn = 1; turn <= 60; turn += 1) {
      await live.turn(script({ say: `answer ${String(turn).padStart(2, '0')}` }));
      sizes.push(await stored(live.id));
    }
    const grown = (from: number, to: number, by: keyof Size): number =>
      ((sizes[to - 1]?.[by] ?? 0) - (sizes[from - 2]?.[by] ?? 0)) / (to - from + 1);
    expect(grown(2, 20, 'bytes')).toBeGreaterThan(0);
    expect(share(grown(41, 60, 'bytes'), grown(2, 20, 'bytes'))).toBeLessThan(0.05);
    expect(grown(41, 60, 'writes')).toBe(grown(2, 20, 'writes'));
    expect(only(await live.list(), 'agent.message')).toHaveLength(60);
  });

  it('reading adds nothing', async () => {
    const live = await bed.live();
    await live.turn(script({ say: 'written' }));
    const before = await stored(live.id);
    for (let round = 0; round < 5; round += 1) {
      const watcher = await bed.watch(live.id, ['agent.message', 'agent.thinking']);
      expect(await live.list({ order: 'desc', limit: 2 })).not.toEqual([]);
      expect(await live.list({ types: ['agent.message'] })).toHaveLength(1);
      expect((await live.read()).status).toBe('idle');
      watcher.close();
    }
    expect(await stored(live.id)).toEqual(before);
  });

  it('ten watchers and a client that polls add nothing', async () => {
    const agent = await bed.agent();
    const texts = Array.from({ length: 5 }, (_, n) =>
      script(
        { think: `thought ${n}` },
        { say: `word by word ${n}`, chunkChars: 2, chunkDelayMs: 5 },
        { call: 'bash', input: { command: `echo ${n}` } },
        { say: 'the tool said {{result}}', chunkChars: 2, chunkDelayMs: 5 },
      ),
    );
    const alone = await bed.create({ agent: agent.id });
    const watched = await bed.create({ agent: agent.id });
    const watchers = await Promise.all(
      Array.from({ length: WATCHERS }, () => bed.watch(watched.id, ['agent.message', 'agent.thinking'])),
    );
    for (const [turn, text] of texts.entries()) {
      await events.send(alone.id, { events: [message(text)] });
      // Nobody reads this session from the server.
      await untilIdlePast(server(), alone.id, turn + 1);

      await events.send(watched.id, { events: [message(text)] });
      await collect(events.list(watched.id));
      await sessions.retrieve(watched.id);
      await Promise.all(watchers.map((watcher) => watcher.next('session.status_idle', turn + 1)));
      await collect(events.list(watched.id, { limit: 5 }));
      await untilIdle(bed.client, watched.id);
    }
    const [quiet, busy] = [await stored(alone.id), await stored(watched.id)];
    expect(busy.writes).toBe(quiet.writes);
    expect(share(busy.bytes, quiet.bytes)).toBeLessThan(0.01);

    const said = texts.flatMap((_, n) => [`word by word ${n}`, `the tool said ${n}`]);
    for (const { events: seen } of watchers) {
      expect(only(seen, 'agent.message').map(textOf)).toEqual(said);
      expect(only(seen, 'event_delta').length).toBeGreaterThan(said.length);
    }
  });
});

describe('what a session used', () => {
  it('is the sum of its model requests, told before every rest', async () => {
    const live = await bed.live();
    await live.turn(script({ call: 'bash', input: { command: 'echo one' } }, { say: 'first' }));
    await live.turn(script({ fail: 529, times: 1 }, { say: 'second' }));
    await live.turn(script({ think: 'hm' }, { say: 'third' }));
    const listed = await live.list();

    const idles = listed.flatMap(({ type }, at) => (type === 'session.status_idle' ? [at] : []));
    expect(idles).toHaveLength(3);
    for (const at of idles) {
      const told = listed[at - 1];
      if (told?.type !== 'session.usage') throw new Error(`${told?.type} stands before the idle`);
      const total = sumOf(only(listed.slice(0, at), 'span.model_request_end'));
      expect(told.usage).toMatchObject(total);
    }
    const { usage, stats } = await live.read();
    expect(usage).toMatchObject(sumOf(only(listed, 'span.model_request_end')));
    expect(usage.output_tokens).toBeGreaterThan(0);
    expect(usage.cache_read_input_tokens).toBeGreaterThan(0);
    expect(stats.active_seconds).toBeGreaterThan(0);
    expect(stats.duration_seconds).toBeGreaterThanOrEqual(stats.active_seconds ?? 0);
    const last = only(listed, 'session.usage').at(-1)?.usage;
    expect(usage.active_seconds).toBe(last?.active_seconds);
  });
});

interface SpanEnd {
  readonly model_usage: {
    input_tokens: number;
    output_tokens: number;
    cache_read_input_tokens: number;
    cache_creation_input_tokens: number;
  };
}

/** Span ends added up, in the shape of a session's usage. */
function sumOf(ends: readonly SpanEnd[]): object {
  const add = (name: keyof SpanEnd['model_usage']): number =>
    ends.reduce((sum, { model_usage: usage }) => sum + usage[name], 0);
  return {
    input_tokens: add('input_tokens'),
    output_tokens: add('output_tokens'),
    cache_read_input_tokens: add('cache_read_input_tokens'),
    cache_creation: { ephemeral_5m_input_tokens: add('cache_creation_input_tokens') },
  };
}
