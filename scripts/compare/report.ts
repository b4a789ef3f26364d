/** What a comparison found: raw as it is measured, and summed up as it is kept and shown. Pure. */
import { CANDIDATE_NAMES, type CandidateName } from './candidates.ts';
import type { Sizes } from './sizes.ts';
import { distributionOf, rounded, type Distribution } from './statistics.ts';
import type { ByName, Value, Values } from './values.ts';

/** Where, when and how it was measured. */
export interface About {
  readonly date: string;
  readonly command: string;
  readonly commit: string;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryGiB: number;
    readonly system: string;
  };
  readonly versions: ByText;
  readonly quick: boolean;
  /** The load of others was measured, but not heeded. */
  readonly forced: boolean;
  readonly sizes: Sizes;
}

type ByText = Readonly<Record<string, string>>;

/** One metric of one run. */
export interface Sample {
  readonly metric: string;
  readonly candidate: CandidateName;
  readonly round: number;
  readonly at: string;
  readonly seconds: number;
  /** Cores that others kept busy right before the run; none where nothing was run. */
  readonly load?: number;
  readonly values?: Values;
  /** Why there are none. */
  readonly failed?: string;
}

/** Everything that was measured. */
export interface Raw {
  readonly about: About;
  readonly samples: readonly Sample[];
}

/** What is left of a figure's values. */
export type Found =
  /** `once`: a single number for each round. */
  | ({ readonly kind: 'once' | 'many' } & Distribution)
  | { readonly kind: 'parts'; readonly parts: ByName }
  | { readonly kind: 'words'; readonly words: string };

/** What a metric says of a candidate. */
export interface Outcome {
  readonly figures: Readonly<Record<string, Found>>;
  /** Why rounds have failed, each reason once. */
  readonly failures: readonly string[];
}

/** The compact form: what the page and its charts are made of. */
export interface Comparison {
  readonly about: About;
  readonly minutes: number;
  /** Cores that others kept busy before a run: the median and the most. */
  readonly load: { readonly p50: number; readonly max: number };
  readonly candidates: readonly CandidateName[];
  /** By metric, then by candidate. */
  readonly metrics: Readonly<Record<string, Readonly<Record<string, Outcome>>>>;
}

/** Sums up all rounds. */
export function summarise({ about, samples }: Raw): Comparison {
  const loads = distributionOf(samples.flatMap(({ load }) => load ?? []));
  const names = [...new Set(samples.map(({ metric }) => metric))];
  const candidates = CANDIDATE_NAMES.filter((name) => samples.some(({ candidate }) => candidate === name));
  return {
    about,
    minutes: rounded(samples.reduce((sum, { seconds }) => sum + seconds, 0) / 60),
    load: { p50: loads?.p50 ?? 0, max: loads?.max ?? 0 },
    candidates,
    metrics: Object.fromEntries(
      names.map((metric) => [
        metric,
        Object.fromEntries(
          candidates.flatMap((candidate) => {
            const own = samples.filter((one) => one.metric === metric && one.candidate === candidate);
            return own.length === 0 ? [] : [[candidate, outcomeOf(own)]];
          }),
        ),
      ]),
    ),
  };
}

function outcomeOf(samples: readonly Sample[]): Outcome {
  const keys = [...new Set(samples.flatMap(({ values }) => Object.keys(values ?? {})))];
  const figures = keys.flatMap((key) => {
    const found = pool(samples.map(({ values }) => values?.[key]).filter((value) => value !== undefined));
    return found ? [[key, found] as const] : [];
  });
  const failures = samples.flatMap(({ failed }) => failed ?? []);
  return { figures: Object.fromEntries(figures), failures: [...new Set(failures)] };
}

/** All values of a figure in one; they are of one kind. */
function pool(values: readonly Value[]): Found | undefined {
  const words = values.filter((value) => typeof value === 'string');
  if (words.length > 0) return { kind: 'words', words: [...new Set(words)].join('; ') };
  const numbers = values.filter((value) => typeof value === 'number');
  if (numbers.length > 0) return distribution('once', numbers);
  const lists = values.filter((value): value is readonly number[] => Array.isArray(value));
  if (lists.length > 0) return distribution('many', lists.flat());
  const parts = values.filter(isByName);
  return parts.length > 0 ? { kind: 'parts', parts: mean(parts) } : undefined;
}

function isByName(value: Value): value is ByName {
  return typeof value === 'object' && !Array.isArray(value);
}

function distribution(kind: 'once' | 'many', samples: readonly number[]): Found | undefined {
  const found = distributionOf(samples);
  return found && { kind, ...found };
}

/** The mean of each part: means add up to the mean of the whole. */
function mean(all: readonly ByName[]): ByName {
  const names = [...new Set(all.flatMap((one) => Object.keys(one)))];
  return Object.fromEntries(
    names.map((name) => [name, rounded(all.reduce((sum, one) => sum + (one[name] ?? 0), 0) / all.length)]),
  );
}
