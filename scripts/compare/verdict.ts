/** Which candidate is better at what, as far as the figures say. Pure. */
import { CANDIDATES, type CandidateName } from './candidates.ts';
import type { FigureSpec } from './metric.ts';
import type { Comparison, Found } from './report.ts';
import { METRICS } from './schedule.ts';
import { total } from './statistics.ts';

/** What is within this share of the best counts as as good: the machine is not quieter than that. */
const ALIKE = 0.1;

/** A figure that counts most, and what each candidate has. */
export interface Headline {
  readonly metric: string;
  readonly spec: FigureSpec;
  readonly title: string;
  readonly values: ReadonlyMap<CandidateName, number>;
}

/** The figures that count most, as far as they were measured. */
export function headlines(comparison: Comparison): Headline[] {
  return METRICS.flatMap((metric) =>
    metric.figures(comparison.about.sizes).flatMap((spec) => {
      if (spec.headline === undefined) return [];
      const values = new Map<CandidateName, number>();
      for (const candidate of comparison.candidates) {
        const value = numberOf(comparison.metrics[metric.name]?.[candidate]?.figures[spec.key]);
        if (value !== undefined) values.set(candidate, value);
      }
      return values.size === 0 ? [] : [{ metric: metric.name, spec, title: spec.headline, values }];
    }),
  );
}

/** The one number that stands for a figure: the median, or the sum of the parts. */
export function numberOf(found: Found | undefined): number | undefined {
  if (found === undefined || found.kind === 'words') return undefined;
  return found.kind === 'parts' ? total(found.parts) : found.p50;
}

/** Those that keep a session when they are killed. */
export function durable(candidates: readonly CandidateName[]): CandidateName[] {
  return candidates.filter((name) => CANDIDATES[name].engine !== 'none');
}

/** The best of some candidates, with all that are as good; empty where all are, or nothing was measured. */
export function bestOf({ spec, values }: Headline, candidates: readonly CandidateName[]): CandidateName[] {
  const known = candidates.flatMap((name) => {
    const value = values.get(name);
    return value === undefined ? [] : [{ name, value }];
  });
  if (known.length < 2) return [];
  const sorted = known.map(({ value }) => value).sort((left, right) => left - right);
  const best = (spec.better === 'higher' ? sorted.at(-1) : sorted[0]) ?? 0;
  const winners = known.filter(({ value }) => isAlike(value, best)).map(({ name }) => name);
  return winners.length === known.length ? [] : winners;
}

/** How two candidates compare. */
export interface Duel {
  readonly left: readonly Headline[];
  readonly right: readonly Headline[];
  readonly alike: readonly Headline[];
}

/** Compares two over all figures that both have. */
export function duel(all: readonly Headline[], left: CandidateName, right: CandidateName): Duel {
  const both = all.filter(({ values }) => values.has(left) && values.has(right));
  const wins = (name: CandidateName): Headline[] =>
    both.filter((one) => {
      const winners = bestOf(one, [left, right]);
      return winners.length === 1 && winners[0] === name;
    });
  const [leftWins, rightWins] = [wins(left), wins(right)];
  return {
    left: leftWins,
    right: rightWins,
    alike: both.filter((one) => !leftWins.includes(one) && !rightWins.includes(one)),
  };
}

function isAlike(value: number, best: number): boolean {
  if (value === best) return true;
  const [less, more] = [Math.min(value, best), Math.max(value, best)];
  return less > 0 && (more - less) / more <= ALIKE;
}
