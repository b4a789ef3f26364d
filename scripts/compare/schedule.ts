/** What is run in which order. Pure. */
import type { CandidateName } from './candidates.ts';
import type { Metric, StaticMetric } from './metric.ts';
import { chaos } from './metrics/chaos.ts';
import { code } from './metrics/code.ts';
import { idle } from './metrics/idle.ts';
import { outage } from './metrics/outage.ts';
import { recovery } from './metrics/recovery.ts';
import { throughput } from './metrics/throughput.ts';
import { turn } from './metrics/turn.ts';
import { watchers } from './metrics/watchers.ts';

/** Metrics that share one start of a candidate, in this order. */
interface Group {
  readonly metrics: readonly Metric[];
  readonly rounds: number;
  /** Settings that these metrics want. */
  readonly env?: Readonly<Record<string, string>>;
}

const GROUPS: readonly Group[] = [
  { metrics: [turn, watchers, throughput], rounds: 2 },
  { metrics: [idle], rounds: 1 },
  { metrics: [recovery, outage], rounds: 1 },
  { metrics: [chaos], rounds: 1, env: { DROVER_WORKERS: '3' } },
];

/** Those that need nothing to run. */
export const STATIC_METRICS: readonly StaticMetric[] = [code];

/** All metrics, in the order of the page. */
export const METRICS: readonly (Metric | StaticMetric)[] = [
  ...GROUPS.flatMap(({ metrics }) => metrics),
  ...STATIC_METRICS,
];

/** One start of a candidate. */
export interface Run {
  readonly candidate: CandidateName;
  readonly metrics: readonly Metric[];
  readonly round: number;
  readonly env: Readonly<Record<string, string>>;
}

/** What is wanted. */
export interface Wanted {
  readonly candidates: readonly CandidateName[];
  readonly metrics: readonly string[];
  readonly quick: boolean;
}

/**
 * The runs in their order. Every pass over the candidates goes the other way than the one before (ABCDE, EDCBA): what
 * changes slowly on the machine hits all alike.
 */
export function plan({ candidates, metrics, quick }: Wanted): Run[] {
  let passes = 0;
  return GROUPS.flatMap((group) => {
    const wanted = group.metrics.filter(({ name }) => metrics.includes(name));
    if (wanted.length === 0) return [];
    const rounds = quick ? 1 : group.rounds;
    return Array.from({ length: rounds }, (_, round) => {
      passes += 1;
      const order = passes % 2 === 1 ? candidates : [...candidates].reverse();
      return order.map((candidate) => ({ candidate, metrics: wanted, round, env: group.env ?? {} }));
    }).flat();
  });
}
