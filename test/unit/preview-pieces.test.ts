import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createInterest } from '../../src/previews/interest.ts';
import { createAssembler, createCutter } from '../../src/previews/pieces.ts';

describe('pieces', () => {
  it('fit into a notification, differ from each other, and make the batch again', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 50 }),
      fc
        .tuple(fc.constantFrom('x', 'ä', '😀', '\u2028', '"', '\u0001', '\ud800'), fc.nat(9000))
        .map(([unit, count]) => unit.repeat(count)),
    );
    fc.assert(
      fc.property(fc.array(text, { maxLength: 4 }), (texts) => {
        const [cut, assemble] = [createCutter('me'), createAssembler()];
        const pieces = [cut(JSON.stringify(texts)), cut(JSON.stringify(texts))].flat();
        expect(pieces.filter((piece) => Buffer.byteLength(piece) >= 8000)).toEqual([]);
        expect(new Set(pieces).size).toBe(pieces.length);
        const made = pieces.map(assemble).filter((batch) => batch !== undefined);
        expect(made).toEqual([
          { from: 'me', value: texts },
          { from: 'me', value: texts },
        ]);
      }),
      { numRuns: 30 },
    );
  });

  it('of several senders may come in between each other', () => {
    const assemble = createAssembler();
    const [one, two] = ['one', 'two'].map((from) => createCutter(from)(JSON.stringify(from.repeat(8000))));
    const mixed = (one ?? []).flatMap((piece, at) => [piece, two?.[at] ?? '']);
    expect(mixed.length).toBeGreaterThan(4);
    const made = mixed.map(assemble).filter((batch) => batch !== undefined);
    expect(made.map(({ from, value }) => [from, String(value).slice(0, 3)])).toEqual([
      ['one', 'one'],
      ['two', 'two'],
    ]);
  });

  it('of a batch that lost one make nothing, and harm no other batch', () => {
    const large = JSON.stringify('x'.repeat(30_000));
    const count = createCutter('me')(large).length;
    for (let lost = 0; lost < count; lost += 1) {
      const [cut, assemble] = [createCutter('me'), createAssembler()];
      const sent = [...cut(large).filter((_, at) => at !== lost), ...cut('"next"')];
      expect(sent.map(assemble).filter((batch) => batch !== undefined)).toEqual([
        { from: 'me', value: 'next' },
      ]);
    }
  });

  it.each(['', 'nonsense', 'me 1 1 2 x', 'me 1 0 2 {"a"', 'me 1 0 1', 'me x 0 1 {}'])(
    '%j is none',
    (piece) => {
      expect(createAssembler()(piece)?.value).toBeUndefined();
    },
  );
});

describe('interest', () => {
  it('lasts as long as it is repeated', () => {
    const interest = createInterest(100);
    interest.hear('r1', { watch: ['a', 'b'] }, 0);
    interest.hear('r2', { watch: ['a'] }, 50);
    expect(interest.watching('a', 99)).toEqual(['r1', 'r2']);
    interest.hear('r1', { watch: ['a'] }, 99);
    expect(interest.watching('a', 150)).toEqual(['r1']);
    expect(interest.watching('b', 100)).toEqual([]);
    expect(interest.watching('a', 199)).toEqual([]);
    expect(interest.watching('none', 0)).toEqual([]);
  });

  it('ends when it is said to end, for that session or for all', () => {
    const interest = createInterest(100);
    for (const receiver of ['r1', 'r2']) interest.hear(receiver, { watch: ['a', 'b'] }, 0);
    interest.hear('r1', { unwatch: ['a', 'never'] }, 1);
    expect([interest.watching('a', 2), interest.watching('b', 2)]).toEqual([['r2'], ['r1', 'r2']]);
    interest.hear('r2', { gone: true }, 3);
    expect([interest.watching('a', 4), interest.watching('b', 4)]).toEqual([[], ['r1']]);
  });

  it('comes again after it was forgotten', () => {
    const interest = createInterest(100);
    for (let now = 0; now < 10_000; now += 250) {
      interest.hear('r1', { watch: [`s${now}`] }, now);
      expect(interest.watching(`s${now}`, now + 99)).toEqual(['r1']);
    }
    expect(interest.watching('s0', 10_000)).toEqual([]);
  });
});
