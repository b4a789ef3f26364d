/** What a metric is: what it finds, in words and units, and how it finds it. */
import type { Candidate } from './candidates.ts';
import type { Model } from './model.ts';
import type { Sizes } from './sizes.ts';
import type { Subject } from './subject.ts';
import type { Values } from './values.ts';

/** What a figure is counted in. */
export type Unit = 'ms' | 's' | 'KiB' | 'MiB' | 'turns/s' | 'sessions/s' | 'lines' | '';

/** One row of a metric's table. */
export interface FigureSpec {
  readonly key: string;
  readonly label: string;
  readonly unit: Unit;
  /** Which direction is better; none where it is only to be known. */
  readonly better?: 'lower' | 'higher';
  /** How the row is called among the most important ones of the page. */
  readonly headline?: string;
}

/** What a run of a metric gets beside its subject. */
export interface Context {
  readonly sizes: Sizes;
  readonly model: Model;
  /** Decides what happens at random; the same for every candidate. */
  readonly seed: number;
  readonly log: (line: string) => void;
}

interface Described {
  /** For the command line and the JSON. */
  readonly name: string;
  readonly title: string;
  /** How it is measured, in one paragraph. */
  method(sizes: Sizes): string;
  figures(sizes: Sizes): readonly FigureSpec[];
}

/** A metric of something that runs. */
export interface Metric extends Described {
  run(subject: Subject, context: Context): Promise<Values>;
}

/** A metric of the candidate as such, whether it can be started or not. */
export interface StaticMetric extends Described {
  examine(candidate: Candidate): Promise<Values>;
}
