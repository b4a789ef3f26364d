/** A comparison with made-up figures, for tests of what is made of one. */
import { CANDIDATE_NAMES, type CandidateName } from '../../scripts/compare/candidates.ts';
import { summarise, type About, type Comparison, type Sample } from '../../scripts/compare/report.ts';
import { FULL } from '../../scripts/compare/sizes.ts';
import type { Values } from '../../scripts/compare/values.ts';

export const ABOUT: About = {
  date: '2026-01-02T03:04:05.678Z',
  command: 'npm run compare',
  commit: 'abc1234',
  machine: { cpu: 'a processor', cores: 2, memoryGiB: 24, system: 'a system' },
  versions: { Node: '24.0.0' },
  quick: false,
  forced: false,
  sizes: FULL,
};

/** One sample; only what matters need be given. */
export function sample(
  metric: string,
  candidate: CandidateName,
  found: Values | { readonly failed: string },
  round = 0,
): Sample {
  const base = { metric, candidate, round, at: ABOUT.date, seconds: 30, load: 0.1 * (round + 1) };
  return 'failed' in found && typeof found['failed'] === 'string'
    ? { ...base, failed: found['failed'] }
    : { ...base, values: found };
}

/** Every candidate with some turns, each twice as slow as the one before, and the last one failed at it. */
export function madeUp(): Comparison {
  const samples = CANDIDATE_NAMES.flatMap((name, at): Sample[] => {
    const failed = { failed: 'it did not start' };
    const scale = 2 ** at;
    const values: Values = {
      early: [10 * scale, 11 * scale, 12 * scale],
      cpu: { api: 5 * scale, worker: 3 * scale },
      stored: { 'drover.db': 4 },
    };
    const isLast = at === CANDIDATE_NAMES.length - 1;
    return [
      sample('turn', name, isLast ? failed : values),
      sample('throughput', name, { 'rate 1': 100 / scale, 'rate 16': 400 / scale, 'turn 1': [scale] }),
      sample('recovery', name, at === 0 ? { fate: 'none' } : { workerInModel: [scale], fate: 'all' }),
    ];
  });
  return summarise({ about: ABOUT, samples });
}
