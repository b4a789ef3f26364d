/**
 * `npm run compare`: measures the runtimes against each other and writes the page, its charts and its figures.
 *
 *     npm run compare                              all of it, about an hour: docs/comparison.md
 *     npm run compare -- --quick                   some minutes, to see that it works: below bench-results/
 *     npm run compare -- --only turn,chaos --candidates in-process,temporal-sqlite
 *     npm run compare -- --resume bench-results/compare-….json     goes on where one was broken off
 *     npm run compare -- --render docs/comparison.json             page and charts again, from the figures
 *
 * `--force` runs on a loaded machine, which the page then says; `--seed 7` for other kills; `--to folder`.
 */
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { CANDIDATE_NAMES } from './compare/candidates.ts';
import { CHARTS } from './compare/figures.ts';
import { LoadedMachineError } from './compare/load.ts';
import { describeCommit, describeMachine, describeVersions } from './compare/machine.ts';
import { startModel } from './compare/model.ts';
import { toPage } from './compare/page.ts';
import { summarise, type About, type Comparison, type Raw, type Sample } from './compare/report.ts';
import { createRunner } from './compare/runner.ts';
import { METRICS, plan } from './compare/schedule.ts';
import { FULL, QUICK } from './compare/sizes.ts';

const RESULTS = 'bench-results';
const DOCS = 'docs';
const SEED = '42';

const EXIT = { failed: 1, loaded: 3, interrupted: 130 };

try {
  const options = readOptions();
  if (options.render === undefined) await compare(options);
  else await render(JSON.parse(await readFile(options.render, 'utf8')) as Comparison, options.to ?? DOCS);
} catch (error) {
  process.stderr.write(`compare: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof LoadedMachineError ? EXIT.loaded : EXIT.failed;
}

type Options = ReturnType<typeof readOptions>;

function readOptions() {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      force: { type: 'boolean', default: false },
      only: { type: 'string' },
      candidates: { type: 'string' },
      render: { type: 'string' },
      resume: { type: 'string' },
      seed: { type: 'string', default: SEED },
      to: { type: 'string' },
    },
  });
  if (!/^\d+$/.test(values.seed)) throw new Error(`--seed: expected a whole number, got "${values.seed}"`);
  return values;
}

async function compare(options: Options): Promise<void> {
  if (process.platform !== 'linux') throw new Error('it reads /proc, which only Linux has');
  const resumed =
    options.resume === undefined ? undefined : (JSON.parse(await readFile(options.resume, 'utf8')) as Raw);
  const quick = resumed?.about.quick ?? options.quick;
  const metrics = chosen(
    'only',
    options.only,
    METRICS.map(({ name }) => name),
  );
  const candidates = chosen('candidates', options.candidates, CANDIDATE_NAMES);
  const about: About = resumed
    ? { ...resumed.about, forced: resumed.about.forced || options.force }
    : await describe(options);
  const name = `compare-${about.date.replaceAll(':', '-')}`;
  await mkdir(RESULTS, { recursive: true });
  const rawFile = join(RESULTS, `${name}.json`);
  const samples: Sample[] = (resumed?.samples ?? []).filter(({ failed }) => failed === undefined);
  const isDone = (metric: string, candidate: string, round: number): boolean =>
    samples.some((one) => one.metric === metric && one.candidate === candidate && one.round === round);
  const serverLog = createWriteStream(join(RESULTS, `${name}.log`), { flags: 'a' });
  const model = await startModel();
  const runner = createRunner({
    sizes: quick ? QUICK : FULL,
    model,
    seed: Number(options.seed),
    force: options.force,
    log,
    onLine: (line) => void serverLog.write(`${new Date().toISOString()} ${line}\n`),
    async onSample(sample) {
      samples.push(sample);
      await writeFile(rawFile, JSON.stringify({ about, samples } satisfies Raw));
    },
  });
  const stop = async (): Promise<void> => {
    await runner.abort().catch(() => undefined);
    await model.stop();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      log(`${signal}: stopping`);
      void stop().finally(() => process.exit(EXIT.interrupted));
    });
  try {
    const runs = plan({ candidates, metrics, quick });
    for (const [index, run] of runs.entries()) {
      const left = run.metrics.filter((metric) => !isDone(metric.name, run.candidate, run.round));
      if (left.length === 0) continue;
      log(`${index + 1} of ${runs.length}: ${run.candidate}, round ${run.round + 1}`);
      await runner.run({ ...run, metrics: left });
    }
    await runner.examine(
      candidates.filter((candidate) => !isDone('code', candidate, 0)),
      metrics,
    );
  } finally {
    await stop();
    serverLog.end();
  }
  const isWhole = !quick && metrics.length === METRICS.length && candidates.length === CANDIDATE_NAMES.length;
  await render(summarise({ about, samples }), options.to ?? (isWhole ? DOCS : join(RESULTS, name)));
  log(`each sample is in ${rawFile}`);
}

async function describe(options: Options): Promise<About> {
  const { quick } = options;
  const words = [
    quick && '--quick',
    options.only !== undefined && `--only ${options.only}`,
    options.candidates !== undefined && `--candidates ${options.candidates}`,
    options.force && '--force',
    options.seed !== SEED && `--seed ${options.seed}`,
  ].filter(Boolean);
  return {
    date: new Date().toISOString(),
    command: ['npm run compare', ...(words.length > 0 ? ['--', ...words] : [])].join(' '),
    commit: await describeCommit(),
    machine: await describeMachine(),
    versions: await describeVersions(),
    quick,
    forced: options.force,
    sizes: quick ? QUICK : FULL,
  };
}

/** Writes the figures, the charts and the page. */
async function render(comparison: Comparison, folder: string): Promise<void> {
  const charts = join(folder, 'comparison');
  await rm(charts, { recursive: true, force: true });
  await mkdir(charts, { recursive: true });
  const drawn = new Map<string, string>();
  for (const { name, draw } of CHARTS) {
    const svg = draw(comparison);
    if (svg === undefined) continue;
    await writeFile(join(charts, `${name}.svg`), svg);
    drawn.set(name, `comparison/${name}.svg`);
  }
  await writeFile(join(folder, 'comparison.json'), `${JSON.stringify(comparison, undefined, 1)}\n`);
  await writeFile(join(folder, 'comparison.md'), toPage(comparison, drawn));
  log(`written: ${join(folder, 'comparison.md')}`);
}

/** The names in a list, in their own order; all of them where there is no list. */
function chosen<Name extends string>(
  option: string,
  list: string | undefined,
  known: readonly Name[],
): Name[] {
  if (list === undefined) return [...known];
  const names = list.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !known.some((one) => one === name));
  if (unknown.length > 0)
    throw new Error(`--${option}: unknown: ${unknown.join(', ')}; there are: ${known.join(', ')}`);
  return known.filter((name) => names.includes(name));
}

function log(line: string): void {
  process.stderr.write(`${line}\n`);
}
