/** What is left of many samples. Pure. */

/** A distribution in five numbers. */
export interface Distribution {
  readonly n: number;
  readonly p50: number;
  readonly p95: number;
  readonly min: number;
  readonly max: number;
}

const DIGITS = 4;

/** Sums up samples; undefined where there are none. What is no number (something never came) counts as none. */
export function distributionOf(samples: readonly number[]): Distribution | undefined {
  const sorted = samples.filter(Number.isFinite).sort((left, right) => left - right);
  const [min, max] = [sorted.at(0), sorted.at(-1)];
  if (min === undefined || max === undefined) return undefined;
  return {
    n: sorted.length,
    p50: rounded(quantile(sorted, 0.5)),
    p95: rounded(quantile(sorted, 0.95)),
    min: rounded(min),
    max: rounded(max),
  };
}

/** The value below which a share of the sorted samples lies; between two samples, the line between them. */
export function quantile(sorted: readonly number[], share: number): number {
  const at = (sorted.length - 1) * share;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? below;
  return below + (above - below) * (at - Math.floor(at));
}

/** As many digits as a noisy measurement deserves. */
export function rounded(value: number): number {
  return Number(value.toPrecision(DIGITS));
}

/** All of a record's numbers together. */
export function total(values: Readonly<Record<string, number>>): number {
  return Object.values(values).reduce((sum, value) => sum + value, 0);
}

/** Random numbers from 0 to 1 that a seed decides (mulberry32): the same kills can be had again. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
