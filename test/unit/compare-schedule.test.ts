import { describe, expect, it } from 'vitest';
import { CANDIDATES, CANDIDATE_NAMES, type CandidateName } from '../../scripts/compare/candidates.ts';
import { METRICS, plan, type Run } from '../../scripts/compare/schedule.ts';

const EVERYTHING = { candidates: CANDIDATE_NAMES, metrics: METRICS.map(({ name }) => name), quick: false };

/** The candidates of each pass, in order. */
function passesOf(runs: readonly Run[], size: number): CandidateName[][] {
  const names = runs.map(({ candidate }) => candidate);
  return Array.from({ length: names.length / size }, (_, at) => names.slice(at * size, (at + 1) * size));
}

describe('the plan', () => {
  it('goes over the candidates the other way each time', () => {
    const passes = passesOf(plan(EVERYTHING), CANDIDATE_NAMES.length);
    expect(passes.length).toBeGreaterThan(2);
    for (const [at, pass] of passes.entries())
      expect(pass).toEqual(at % 2 === 0 ? CANDIDATE_NAMES : CANDIDATE_NAMES.toReversed());
  });

  it('runs what is wanted, and nothing else', () => {
    const runs = plan({ candidates: ['log-sqlite'], metrics: ['idle', 'watchers'], quick: true });
    expect(runs.map(({ metrics }) => metrics.map(({ name }) => name))).toEqual([['watchers'], ['idle']]);
    expect(new Set(runs.map(({ candidate }) => candidate))).toEqual(new Set(['log-sqlite']));
  });

  it('runs every metric that needs a candidate for every candidate', () => {
    const ran = plan(EVERYTHING).flatMap(({ candidate, metrics }) =>
      metrics.map(({ name }) => `${candidate} ${name}`),
    );
    for (const { name } of METRICS.filter((metric) => 'run' in metric))
      for (const candidate of CANDIDATE_NAMES) expect(ran).toContain(`${candidate} ${name}`);
  });

  it('makes one round when it is quick', () => {
    expect(plan({ ...EVERYTHING, quick: true }).every(({ round }) => round === 0)).toBe(true);
  });
});

it('takes away from each candidate only what it has', () => {
  for (const { engine, services, outages } of Object.values(CANDIDATES)) {
    expect(outages.includes('postgres')).toBe(services.includes('postgres'));
    expect(outages.includes('temporal')).toBe(engine === 'temporal');
    expect(outages.includes('sqlite')).toBe(engine !== 'none' && !services.includes('postgres'));
  }
});
