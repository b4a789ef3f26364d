import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { distributionOf, quantile, rounded, seededRandom, total } from '../../scripts/compare/statistics.ts';

describe('quantile', () => {
  it('lies between two samples where it falls between them', () => {
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
    expect(quantile([10, 20], 0.95)).toBeCloseTo(19.5);
  });

  it('is the only sample of one', () => {
    expect(quantile([7], 0.95)).toBe(7);
  });

  it('stays within the samples and grows with the share', () => {
    const samples = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1 });
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(samples, share, share, (values, one, other) => {
        const sorted = values.toSorted((left, right) => left - right);
        const [low, high] = [quantile(sorted, Math.min(one, other)), quantile(sorted, Math.max(one, other))];
        expect(low).toBeGreaterThanOrEqual((sorted[0] ?? 0) - 1e-9);
        expect(high).toBeLessThanOrEqual((sorted.at(-1) ?? 0) + 1e-9);
        expect(low).toBeLessThanOrEqual(high + 1e-9);
      }),
    );
  });
});

describe('distributionOf', () => {
  it('sums samples up, in whatever order they came', () => {
    expect(distributionOf([3, 1, 2])).toEqual({ n: 3, p50: 2, p95: 2.9, min: 1, max: 3 });
  });

  it('leaves out what is no number, and is undefined where nothing is left', () => {
    expect(distributionOf([Number.NaN, 5])).toMatchObject({ n: 1, p50: 5 });
    expect(distributionOf([Number.NaN])).toBeUndefined();
    expect(distributionOf([])).toBeUndefined();
  });
});

it('rounds to four digits', () => {
  expect([123_456, 1.23456, 0].map(rounded)).toEqual([123_500, 1.235, 0]);
});

it('adds the parts of a whole up', () => {
  expect(total({ api: 1, worker: 2.5 })).toBe(3.5);
});

it('gives the same random numbers for the same seed, and others for another', () => {
  const draw = (seed: number): number[] => Array.from({ length: 100 }, seededRandom(seed));
  expect(draw(42)).toEqual(draw(42));
  expect(draw(42)).not.toEqual(draw(43));
  expect(draw(1).every((value) => value >= 0 && value < 1)).toBe(true);
  const mean = draw(7).reduce((sum, value) => sum + value, 0) / 100;
  expect(mean).toBeGreaterThan(0.35);
  expect(mean).toBeLessThan(0.65);
});
