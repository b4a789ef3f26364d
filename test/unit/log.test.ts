import fc from 'fast-check';
import { formatMicros } from '../../src/wire/time.ts';
import { describe, expect, test } from 'vitest';
import {
  createCounter,
  REMEMBERED_IDS,
  toWire,
  type Author,
  type Counter,
  type Draft,
  type Tally,
} from '../../src/log.ts';
import { histories, said, type Written } from '../support/conversation.ts';
import { collectLog, currentForms } from '../support/projection.ts';

function project(history: readonly Written[]) {
  const log = collectLog();
  for (const { drafts, timeUs, author } of history) log.append(drafts, timeUs, author);
  return log.entries;
}

describe('a projection', () => {
  test('is the same on every read, however the reads are cut', () => {
    fc.assert(
      fc.property(histories, fc.array(fc.nat(30), { maxLength: 5 }), (history, cuts) => {
        const whole = project(history);
        const log = collectLog();
        const answered = [];
        let from = 0;
        for (const size of [...cuts, history.length]) {
          for (const { drafts, timeUs, author } of history.slice(from, from + size)) {
            answered.push(...log.append(drafts, timeUs, author));
          }
          from += size;
        }
        expect(log.entries).toEqual(whole);
        expect(answered).toEqual(whole);
      }),
    );
  });

  test('does not depend on how the writes of one moment are split into carriers', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const split = history.flatMap(({ drafts, ...rest }) =>
          drafts.map((draft) => ({ ...rest, drafts: [draft] })),
        );
        expect(project(split)).toEqual(project(history));
      }),
    );
  });

  test('gives positions without holes and times that only grow', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const entries = project(history);
        expect(entries.map(({ position }) => position)).toEqual(entries.map((_, index) => index));
        const times = entries.flatMap(({ event }) => event.processed_at ?? []);
        for (const [index, time] of times.entries())
          if (index > 0) expect(time > (times[index - 1] ?? '')).toBe(true);
      }),
    );
  });

  test('changes nothing of what it has given out', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const log = collectLog();
        const snapshots: string[] = [];
        for (const { drafts, timeUs, author } of history) {
          log.append(drafts, timeUs, author);
          snapshots.push(JSON.stringify(log.entries));
        }
        const all = JSON.stringify(log.entries);
        for (const snapshot of snapshots) expect(all.startsWith(snapshot.slice(0, -1))).toBe(true);
      }),
    );
  });

  test("drops a client's repeated event, not a server's", () => {
    const message: Draft = { event: { id: 'm', type: 'user.message', content: [] } };
    const running: Draft = { event: { id: 'r', type: 'session.status_running' } };
    const log = collectLog();
    expect(log.append([message], 1, 'client')).toHaveLength(1);
    expect(log.append([message], 2, 'client')).toEqual([]);
    expect(log.append([{ processed: 'm' }], 3, 'server')).toHaveLength(1);
    expect(log.append([message], 4, 'client')).toEqual([]);
    expect(log.append([running], 5, 'server')).toHaveLength(1);
    expect(log.append([running], 6, 'server')).toHaveLength(1);
    expect(log.entries.map(({ event }) => event.id)).toEqual(['m', 'm', 'r', 'r']);
  });

  test('a dropped event takes no time', () => {
    const times = (drafts: Draft[]): (string | null)[] => {
      const log = collectLog();
      log.append(drafts, 1_000_000, 'client');
      log.append([{ event: { id: 'z', type: 'session.updated' } }], 1_000_000, 'client');
      return log.entries.map(({ event }) => event.processed_at);
    };
    const event = { id: 'u', type: 'session.updated' } as const;
    expect(times([{ event }, { event }, { event }])).toEqual(times([{ event }]));
  });

  test.each(['user.message', 'user.interrupt', 'user.tool_confirmation'] as const)(
    'shows %s twice: queued, and taken up, once',
    (type) => {
      const event = { id: 'q', type, tool_use_id: 't', result: 'allow', content: [] } as const;
      const log = collectLog();
      log.append([{ event } as Draft], 1_000_000, 'client');
      log.append([{ processed: 'q' }, { processed: 'q' }, { processed: 'nobody' }], 2_000_000, 'server');
      expect(log.entries).toEqual([
        { position: 0, event: { ...event, processed_at: null } },
        { position: 1, event: { ...event, processed_at: '1970-01-01T00:00:02.000000Z' } },
      ]);
    },
  );

  test('stamps what needs no taking up on receipt', () => {
    const log = collectLog();
    log.append(
      [{ event: { id: 'r', type: 'user.custom_tool_result', custom_tool_use_id: 't' } }],
      5,
      'client',
    );
    expect(log.entries[0]?.event.processed_at).toBe('1970-01-01T00:00:00.000005Z');
  });

  test('keeps extra and blob through both forms', () => {
    const blob = { sha256: 'abc', bytes: 3 };
    const log = collectLog();
    log.append([{ event: { id: 'm', type: 'user.message', content: [] }, blob }], 1, 'client');
    log.append([{ processed: 'm' }], 2, 'server');
    expect(log.entries.map((entry) => entry.blob)).toEqual([blob, blob]);
  });

  test.each<Author>(['client', 'server'])('takes nothing after the end, which %s wrote', (author) => {
    const log = collectLog();
    log.append([{ event: { id: 'm', type: 'user.message', content: [] } }], 1, 'client');
    const end: Draft[] = [
      { event: { id: 't', type: 'session.status_terminated' } },
      { event: { id: 'x', type: 'session.status_running' } },
    ];
    expect(log.append(end, 2, author)).toHaveLength(1);
    expect(log.append([{ processed: 'm' }], 3, 'server')).toEqual([]);
    expect(log.append([{ event: { id: 'n', type: 'user.message', content: [] } }], 4, 'client')).toEqual([]);
    expect(log.entries.at(-1)?.event.type).toBe('session.status_terminated');
  });
});

function count(counter: Counter, carriers: readonly Written[]): void {
  for (const { drafts, author } of carriers) for (const draft of drafts) counter.admits(draft, author);
}

describe('a counter', () => {
  test('counts what the projection gives, wherever it begins', () => {
    fc.assert(
      fc.property(histories, fc.nat(30), (carriers, cut) => {
        const log = collectLog();
        for (const { drafts, timeUs, author } of carriers) log.append(drafts, timeUs, author);
        const first = createCounter();
        count(first, carriers.slice(0, cut));
        const second = createCounter(JSON.parse(JSON.stringify(first.tally())) as Tally);
        count(second, carriers.slice(cut));
        expect(second.length).toBe(log.entries.length);
      }),
    );
  });

  test('forgets a client event when a thousand others have come', () => {
    const counter = createCounter();
    for (let index = 0; index <= REMEMBERED_IDS; index += 1) counter.admits(said(`m${index}`, ''), 'client');
    expect(counter.admits(said('m1', ''), 'client')).toBe(false);
    expect(counter.admits(said('m0', ''), 'client')).toBe(true);
    expect(counter.tally().clientIds).toHaveLength(REMEMBERED_IDS);
  });
});

describe('currentForms', () => {
  test('gives every event once, in its newest form, what is still queued last', () => {
    fc.assert(
      fc.property(histories, fc.nat(60), (history, end) => {
        const entries = project(history).slice(0, end);
        const forms = currentForms(entries);
        const newest = new Map(entries.map((entry) => [entry.event.id, entry]));
        expect(new Set(forms)).toEqual(new Set(newest.values()));
        expect(forms).toHaveLength(newest.size);
        const firstQueued = forms.findIndex(({ event }) => event.processed_at === null);
        const settled = firstQueued === -1 ? forms : forms.slice(0, firstQueued);
        const queued = firstQueued === -1 ? [] : forms.slice(firstQueued);
        expect(queued.every(({ event }) => event.processed_at === null)).toBe(true);
        for (const part of [settled, queued]) {
          expect(part.map(({ position }) => position)).toEqual(
            part.map(({ position }) => position).sort((a, b) => a - b),
          );
        }
      }),
    );
  });
});

test('times have six digits and carry over', () => {
  expect(formatMicros(0)).toBe('1970-01-01T00:00:00.000000Z');
  expect(formatMicros(1_000_001)).toBe('1970-01-01T00:00:01.000001Z');
  expect(formatMicros(1_790_000_000_123_045)).toBe('2026-09-21T14:13:20.123045Z');
});

test("the harness's own facts are not for the wire", () => {
  const entry = (type: 'x.hand_failed' | 'agent.thinking') =>
    ({ position: 0, event: { id: 'e', type, reason: 'r', processed_at: null } }) as never;
  expect(toWire(entry('x.hand_failed'))).toBeUndefined();
  expect(toWire(entry('agent.thinking'))).toMatchObject({ id: 'e' });
});
