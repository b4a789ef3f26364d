import { describe, expect, it } from 'vitest';
import type { CandidateName } from '../../scripts/compare/candidates.ts';
import { bestOf, duel, durable, headlines, numberOf, type Headline } from '../../scripts/compare/verdict.ts';
import { madeUp } from '../support/comparison.ts';

const headline = (better: 'lower' | 'higher', values: Partial<Record<CandidateName, number>>): Headline => ({
  metric: 'turn',
  title: 'a figure',
  spec: { key: 'k', label: 'l', unit: 'ms', better },
  values: new Map(Object.entries(values) as [CandidateName, number][]),
});
const ALL: readonly CandidateName[] = ['temporal-sqlite', 'temporal-postgres', 'log-sqlite', 'log-postgres'];

describe('bestOf', () => {
  it('is the least where less is better, and the greatest where more is', () => {
    const values = { 'temporal-sqlite': 40, 'log-sqlite': 10 };
    expect(bestOf(headline('lower', values), ALL)).toEqual(['log-sqlite']);
    expect(bestOf(headline('higher', values), ALL)).toEqual(['temporal-sqlite']);
  });

  it('takes in what is within a tenth of the best', () => {
    const values = { 'temporal-sqlite': 100, 'log-sqlite': 109, 'log-postgres': 120 };
    expect(bestOf(headline('lower', values), ALL)).toEqual(['temporal-sqlite', 'log-sqlite']);
    expect(bestOf(headline('higher', values), ALL)).toEqual(['log-sqlite', 'log-postgres']);
  });

  it('is nobody where all are alike, or where there is nobody to be better than', () => {
    expect(bestOf(headline('lower', { 'temporal-sqlite': 0, 'log-sqlite': 0 }), ALL)).toEqual([]);
    expect(bestOf(headline('lower', { 'temporal-sqlite': 5 }), ALL)).toEqual([]);
  });

  it('lets none be as good as zero but zero', () => {
    const values = { 'temporal-sqlite': 0, 'log-sqlite': 0.1 };
    expect(bestOf(headline('lower', values), ALL)).toEqual(['temporal-sqlite']);
  });

  it('looks only at the candidates that it is asked about', () => {
    const values = { 'in-process': 1, 'temporal-sqlite': 40, 'log-sqlite': 10 };
    expect(bestOf(headline('lower', values), durable(['in-process', ...ALL]))).toEqual(['log-sqlite']);
  });
});

describe('duel', () => {
  const faster = headline('lower', { 'temporal-sqlite': 40, 'log-sqlite': 10 });
  const more = headline('higher', { 'temporal-sqlite': 40, 'log-sqlite': 10 });
  const same = headline('lower', { 'temporal-sqlite': 10, 'log-sqlite': 10.2 });
  const alone = headline('lower', { 'temporal-sqlite': 10 });

  it('puts each figure that both have in one of three places', () => {
    expect(duel([faster, more, same, alone], 'temporal-sqlite', 'log-sqlite')).toEqual({
      left: [more],
      right: [faster],
      alike: [same],
    });
  });
});

describe('headlines', () => {
  it('are those figures that were measured, with what each candidate has', () => {
    const found = headlines(madeUp());
    expect(found.map(({ title }) => title)).toContain('overhead of a turn');
    const [overhead] = found;
    expect(Object.fromEntries(overhead?.values ?? [])).toEqual({
      'in-process': 11,
      'temporal-sqlite': 22,
      'temporal-postgres': 44,
      'log-sqlite': 88,
    });
  });
});

it('takes the median of a distribution, the sum of parts, and nothing of words', () => {
  expect(numberOf({ kind: 'many', n: 3, p50: 2, p95: 3, min: 1, max: 3 })).toBe(2);
  expect(numberOf({ kind: 'parts', parts: { api: 1, worker: 2 } })).toBe(3);
  expect(numberOf({ kind: 'words', words: 'none' })).toBeUndefined();
});
