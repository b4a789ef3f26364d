/** Carries a plan out: waits for quiet, starts, warms up, measures, stops; whatever fails is part of the result. */
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { CANDIDATES, type CandidateName } from './candidates.ts';
import { waitForQuiet } from './load.ts';
import type { Context, Metric } from './metric.ts';
import { runTurns } from './metrics/turn.ts';
import type { Model } from './model.ts';
import type { Sample } from './report.ts';
import { STATIC_METRICS, type Run } from './schedule.ts';
import type { Sizes } from './sizes.ts';
import { startSubject, type Subject } from './subject.ts';
import type { Values } from './values.ts';

/** What the runner works with. */
export interface RunnerOptions {
  readonly sizes: Sizes;
  readonly model: Model;
  readonly seed: number;
  readonly force: boolean;
  readonly log: (line: string) => void;
  /** Gets what servers say to people. */
  readonly onLine: (line: string) => void;
  /** Gets each sample as soon as it is there. */
  readonly onSample: (sample: Sample) => Promise<void>;
}

/** The runner. */
export interface Runner {
  /** Runs all metrics of one start, or of as many starts as its failures make necessary. */
  run(run: Run): Promise<void>;
  examine(candidates: readonly CandidateName[], metrics: readonly string[]): Promise<void>;
  /** Stops what runs at the moment; the run that it was in rejects. */
  abort(): Promise<void>;
}

/** A metric that takes longer hangs. */
const METRIC_WITHIN_MS = 20 * 60_000;
const STOP_WITHIN_MS = 60_000;

/** Makes the runner. */
export function createRunner(options: RunnerOptions): Runner {
  const { sizes, model, seed, force, log, onLine, onSample } = options;
  const aborted = new AbortController();
  let running: Promise<Subject> | undefined;

  const stop = async (): Promise<void> => {
    // One that is still being started can be stopped when it has been; one that could not be is gone already.
    const subject = await running?.catch(() => undefined);
    running = undefined;
    if (subject) await within('stopping', STOP_WITHIN_MS, subject.stop());
  };
  const start = async ({ candidate, env }: Run): Promise<Subject> => {
    running = startSubject(CANDIDATES[candidate], { modelUrl: model.url, env, onLine });
    const subject = await running;
    await runTurns(subject, sizes.warmUpTurns);
    return subject;
  };
  const measure = async (run: Run, metric: Metric): Promise<Values> => {
    const subject = (await running) ?? (await start(run));
    const context: Context = { sizes, model, seed, log: (line) => log(`    ${line}`) };
    return await within(metric.name, METRIC_WITHIN_MS, metric.run(subject, context));
  };

  return {
    async run(run) {
      const { load, waitedMs } = await waitForQuiet(gate(log), force);
      if (waitedMs > 2000) log(`  waited ${Math.round(waitedMs / 1000)} s for a quiet machine`);
      try {
        for (const metric of run.metrics) {
          const from = performance.now();
          const outcome = await measure(run, metric).then(
            (values) => ({ values }),
            (error: unknown) => ({ failed: inOneLine(error) }),
          );
          // What is stopped in the middle has not failed.
          aborted.signal.throwIfAborted();
          const seconds = (performance.now() - from) / 1000;
          log(
            `  ${run.candidate} ${metric.name}: ${'failed' in outcome ? outcome.failed : `${Math.round(seconds)} s`}`,
          );
          const { candidate, round } = run;
          await onSample({
            metric: metric.name,
            candidate,
            round,
            at: new Date().toISOString(),
            seconds,
            load,
            ...outcome,
          });
          // Nobody knows what state it is in.
          if ('failed' in outcome) await stop().catch((error: unknown) => log(inOneLine(error)));
        }
      } finally {
        await stop();
      }
    },
    async examine(candidates, metrics) {
      for (const metric of STATIC_METRICS.filter(({ name }) => metrics.includes(name)))
        for (const candidate of candidates) {
          const outcome = await metric.examine(CANDIDATES[candidate]).then(
            (values) => ({ values }),
            (error: unknown) => ({ failed: inOneLine(error) }),
          );
          const at = new Date().toISOString();
          await onSample({ metric: metric.name, candidate, round: 0, at, seconds: 0, ...outcome });
        }
    },
    async abort() {
      aborted.abort(new Error('stopped'));
      await stop();
    },
  };
}

function gate(log: (line: string) => void): Parameters<typeof waitForQuiet>[0] {
  return {
    readStat: () => readFile('/proc/stat', 'utf8'),
    cores: cpus().length,
    pause: async (ms) => await pause(ms),
    now: () => performance.now(),
    log: (line) => log(`  ${line}`),
  };
}

async function within<T>(what: string, ms: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${what}: not within ${ms / 1000} s`)), ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function inOneLine(error: unknown): string {
  const words = error instanceof Error ? error.message : String(error);
  return words.replaceAll(/\s+/g, ' ').slice(0, 400);
}
