/** The charts of a comparison. Pure. */
import { barChart, lineChart, type Bar, type BarChart, type Line, type Note } from './chart.ts';
import { CANDIDATES, type CandidateName } from './candidates.ts';
import { lateTurn } from './metrics/turn.ts';
import type { Comparison, Found } from './report.ts';
import { total } from './statistics.ts';

const COLORS: Readonly<Record<CandidateName, string>> = {
  'in-process': '#7d8590',
  'temporal-sqlite': '#0072b2',
  'temporal-postgres': '#56b4e9',
  'log-sqlite': '#d55e00',
  'log-postgres': '#e69f00',
};
/** Processes have the same colour in every chart; told apart by the colour-blind, too. */
const PROCESS_COLORS: Readonly<Record<string, string>> = {
  program: '#7d8590',
  supervisor: '#8250df',
  api: '#e69f00',
  worker: '#009e73',
  proxy: '#f0e442',
  temporal: '#0072b2',
  postgres: '#cc79a7',
};
/** For parts of another whole. */
const PALETTE = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#f0e442', '#7d8590'];

/** Where a figure is. */
interface Place {
  readonly metric: string;
  readonly key: string;
  readonly label: string;
}

/** A chart's name, and how it is drawn; undefined where nothing of it was measured. */
export interface Chart {
  readonly name: string;
  readonly alt: string;
  readonly metric: string;
  draw(comparison: Comparison): string | undefined;
}

/** All charts, in the order of the page. */
export const CHARTS: readonly Chart[] = [
  {
    name: 'overhead',
    metric: 'turn',
    alt: 'Overhead of a turn, median and 95th percentile',
    draw: (comparison) =>
      bars(comparison, {
        title: 'Overhead of a turn: median, and line to the 95th percentile',
        unit: 'ms',
        places: [
          { metric: 'turn', key: 'early', label: 'at turn 10' },
          {
            metric: 'turn',
            key: 'late',
            label: `at turn ${lateTurn(comparison.about.sizes.turn)}`,
          },
        ],
      }),
  },
  {
    name: 'cpu',
    metric: 'turn',
    alt: 'CPU time of a turn by process',
    draw: (comparison) =>
      bars(comparison, {
        title: 'CPU of a turn by process',
        unit: 'ms',
        places: [{ metric: 'turn', key: 'cpuLate', label: '' }],
      }),
  },
  {
    name: 'stored',
    metric: 'turn',
    alt: 'Bytes stored for a turn by place',
    draw: (comparison) =>
      bars(comparison, {
        title: 'Stored for a turn by place',
        unit: 'KiB',
        places: [
          { metric: 'turn', key: 'stored', label: 'turns 1 to 100' },
          { metric: 'turn', key: 'storedLate', label: 'later turns' },
        ],
      }),
  },
  { name: 'throughput', metric: 'throughput', alt: 'Turns a second by number of sessions', draw: throughput },
  {
    name: 'memory',
    metric: 'idle',
    alt: 'Memory with sleeping sessions by process',
    draw: (comparison) =>
      bars(comparison, {
        title: 'Memory by process while sessions sleep',
        unit: 'MiB',
        places: [{ metric: 'idle', key: 'memory', label: '' }],
      }),
  },
  {
    name: 'recovery',
    metric: 'recovery',
    alt: 'Time to the next event after a kill',
    draw: (comparison) =>
      bars(comparison, {
        title: 'From the kill to the next event: median, and line to the 95th percentile',
        unit: 's',
        places: [
          { metric: 'recovery', key: 'workerInModel', label: 'worker, in a model call' },
          { metric: 'recovery', key: 'workerInTool', label: 'worker, in a tool' },
          { metric: 'recovery', key: 'api', label: 'API' },
          { metric: 'recovery', key: 'temporal', label: 'Temporal' },
          { metric: 'recovery', key: 'postgres', label: 'Postgres' },
        ],
      }),
  },
  {
    name: 'code',
    metric: 'code',
    alt: 'Lines of code of each engine',
    draw: (comparison) =>
      bars(comparison, {
        title: 'Lines of code that only this engine needs',
        unit: 'lines',
        places: [{ metric: 'code', key: 'own', label: '' }],
        oneOfEachEngine: true,
      }),
  },
];

interface BarsSpec {
  readonly title: string;
  readonly unit: string;
  readonly places: readonly Place[];
  /** The database makes no difference. */
  readonly oneOfEachEngine?: boolean;
}

function bars(
  comparison: Comparison,
  { title, unit, places, oneOfEachEngine }: BarsSpec,
): string | undefined {
  const candidates = comparison.candidates.filter(
    (name, index, all) =>
      oneOfEachEngine !== true ||
      all.findIndex((other) => CANDIDATES[other].engine === CANDIDATES[name].engine) === index,
  );
  const names = segmentNames(comparison, places);
  const groups = places.map(({ metric, key, label }) => ({
    label,
    rows: candidates.flatMap((name) => {
      const outcome = comparison.metrics[metric]?.[name];
      const found = outcome?.figures[key];
      const title = oneOfEachEngine === true ? engineTitle(name) : CANDIDATES[name].title;
      if (found) return [toBar({ name, title, found, names })];
      const note: Note[] = [{ label: title, note: 'failed' }];
      return outcome && outcome.failures.length > 0 ? note : [];
    }),
  }));
  const isThere = groups.some(({ rows }) => rows.some((row) => 'value' in row));
  const chart: BarChart = { title, unit, groups: groups.filter(({ rows }) => rows.length > 0) };
  return isThere ? barChart(chart) : undefined;
}

function engineTitle(name: CandidateName): string {
  const { engine, title } = CANDIDATES[name];
  return { none: title, temporal: 'Temporal', log: 'log' }[engine];
}

/** All parts that occur, so that each has one colour in the whole chart. */
function segmentNames(comparison: Comparison, places: readonly Place[]): string[] {
  const all = places.flatMap(({ metric, key }) =>
    comparison.candidates.flatMap((name) => {
      const found = comparison.metrics[metric]?.[name]?.figures[key];
      return found?.kind === 'parts' ? Object.keys(found.parts) : [];
    }),
  );
  return [...new Set(all)];
}

interface BarParts {
  readonly name: CandidateName;
  readonly title: string;
  readonly found: Found;
  readonly names: readonly string[];
}

function toBar({ name, title, found, names }: BarParts): Bar | Note {
  if (found.kind === 'words') return { label: title, note: found.words };
  if (found.kind !== 'parts')
    return {
      label: title,
      color: COLORS[name],
      value: found.p50,
      high: found.kind === 'many' ? found.p95 : undefined,
    };
  // A part that shrank takes nothing.
  const segments = Object.entries(found.parts)
    .filter(([, value]) => value > 0)
    .map(([part, value]) => ({
      name: part,
      value,
      color: PROCESS_COLORS[part] ?? PALETTE[names.indexOf(part) % PALETTE.length] ?? '#7d8590',
    }));
  return { label: title, color: COLORS[name], value: total(found.parts), segments };
}

function throughput({ about, candidates, metrics }: Comparison): string | undefined {
  const { concurrency } = about.sizes.throughput;
  const lines = candidates.map((name): Line => {
    const figures = metrics['throughput']?.[name]?.figures;
    return {
      label: CANDIDATES[name].title,
      color: COLORS[name],
      points: concurrency.map((count) => {
        const found = figures?.[`rate ${count}`];
        return found?.kind === 'once' ? found.p50 : undefined;
      }),
    };
  });
  if (!lines.some(({ points }) => points.some((point) => point !== undefined))) return undefined;
  return lineChart({
    title: 'Turns a second',
    unit: 'turns/s',
    xTitle: 'sessions at once',
    x: concurrency.map((count) => count.toLocaleString('en')),
    lines,
  });
}
