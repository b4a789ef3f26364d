/** Copies of logs are the same logs. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Entry } from '../../src/log.ts';
import { settle, type WrittenCarrier } from '../../src/session/archive.ts';
import { copyEntries, forkOf, toCarriers } from '../../src/session/copy.ts';
import { foldView } from '../../src/view.ts';
import { formatMicros, parseMicros } from '../../src/wire/time.ts';
import { created, histories, said } from '../support/conversation.ts';
import { collectLog } from '../support/projection.ts';

function project(carriers: readonly WrittenCarrier[]): readonly Entry[] {
  const log = collectLog();
  for (const { drafts, timeUs, author } of carriers) log.append(drafts, timeUs, author);
  return log.entries;
}

test('times are read as they are written', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_000_000_000_000_000 }), (us) => {
      expect(parseMicros(formatMicros(us))).toBe(us);
    }),
  );
});

test('copied entries make the same log, positions, ids and times included', () => {
  fc.assert(
    fc.property(histories, fc.nat(60), (carriers, cut) => {
      const entries = project(carriers).slice(0, cut);
      const copied = JSON.parse(JSON.stringify(copyEntries(entries))) as ReturnType<typeof copyEntries>;
      expect(project(settle(toCarriers(copied)))).toEqual(entries);
    }),
  );
});

describe('a fork', () => {
  let ids = 0;
  const request = { from: 'sesn_1', newId: () => `sevt_new_${(ids += 1)}`, nowUs: 9_000_000 };
  const log = (...drafts: WrittenCarrier['drafts'][]): readonly Entry[] =>
    project(
      drafts.map((some, index) => ({
        author: index === 1 ? 'client' : 'server',
        timeUs: 1000 * index,
        drafts: some,
      })),
    );
  const rest = log([created()]);
  const thinking = log(
    [created()],
    [said('m', 'hi')],
    [{ processed: 'm' }, { event: { id: 's', type: 'span.model_request_start' } }],
  );
  const typesOf = (entries: readonly Entry[], resume: boolean): string[] =>
    project(forkOf(entries, { ...request, resume }))
      .slice(entries.length)
      .map(({ event }) => event.type);

  test('of a session at rest is at rest', () => {
    expect(typesOf(rest, false)).toEqual(['x.session_forked']);
  });

  test('in the middle of a turn closes it, unless it is to be resumed', () => {
    expect(typesOf(thinking, false)).toEqual(['x.session_forked', 'user.interrupt']);
    expect(typesOf(thinking, true)).toEqual(['x.session_forked']);
  });

  test('does not have the hand of the session that it comes from', () => {
    const hand = { id: 'h', kind: 'test' };
    const entries = log([created(), { event: { id: 'p', type: 'x.hand_provisioned', hand } }]);
    expect(foldView(undefined, entries).loop.hand).toEqual(hand);
    const fork = project(forkOf(entries, { ...request, resume: false }));
    expect(foldView(undefined, fork).loop).toMatchObject({ hand: null, provisionings: 1 });
  });

  test('says with what its first hand begins, and what that takes', () => {
    const workspace = { id: 'f'.repeat(64), bytes: 5, addedBytes: 9 };
    const [mark] = project(forkOf(rest, { ...request, resume: false, workspace })).slice(rest.length);
    expect(mark?.event).toMatchObject({
      type: 'x.session_forked',
      snapshot: workspace.id,
      bytes: 5,
      added_bytes: 9,
    });
    const [bare] = project(forkOf(rest, { ...request, resume: false })).slice(rest.length);
    expect(bare?.event).not.toHaveProperty('snapshot');
  });
});
