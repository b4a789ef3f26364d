import { describe, expect, it } from 'vitest';
import { CANDIDATES, CANDIDATE_NAMES } from '../../scripts/compare/candidates.ts';
import { CHARTS } from '../../scripts/compare/figures.ts';
import { toPage } from '../../scripts/compare/page.ts';
import { summarise, type Comparison } from '../../scripts/compare/report.ts';
import { METRICS } from '../../scripts/compare/schedule.ts';
import { FULL, QUICK } from '../../scripts/compare/sizes.ts';
import { ABOUT, madeUp, sample } from '../support/comparison.ts';

const NO_CHARTS = new Map<string, string>();
const row = (page: string, start: string): string[] => {
  const line = page.split('\n').find((one) => one.startsWith(`| ${start} |`)) ?? '';
  return line.split(' | ').slice(1);
};

describe('the page', () => {
  const page = toPage(madeUp(), NO_CHARTS);

  it('says where, when and how it was measured', () => {
    for (const word of ['2 cores (a processor)', 'abc1234', '2026-01-02', '`npm run compare`', 'Node 24.0.0'])
      expect(page).toContain(word);
  });

  it('is the same again from the figures as they are kept', () => {
    const kept = JSON.parse(JSON.stringify(madeUp())) as Comparison;
    expect(toPage(kept, NO_CHARTS)).toBe(page);
  });

  it('has a section for every metric, measured or not', () => {
    for (const { title } of METRICS) expect(page).toContain(`\n## ${title}\n`);
    expect(page).toContain('## Sleeping sessions\n\nNot measured.');
  });

  it('shows what failed as failed, with the reason', () => {
    expect(row(page, 'overhead at turn 10, ms').at(-1)).toBe('failed |');
    expect(page).toContain('- **log, Postgres failed**: it did not start');
  });

  it('shows what does not apply as a dash', () => {
    const start = 'worker killed in a model call: to the next event, less the model’s time, s';
    expect(row(page, start)[0]).toBe('–');
  });

  it('marks the best of the durable ones, never the program in process', () => {
    expect(row(page, 'overhead of a turn, ms').slice(0, 2)).toEqual(['11', '**22**']);
  });

  it('says of each pair which is better at what', () => {
    const [, duels = ''] = page.split('## Where each is better');
    expect(duels).toContain('**Temporal, SQLite** against **log, SQLite**');
    expect(duels).toContain('- Temporal, SQLite is better at: overhead of a turn (22 ms against 88)');
    expect(duels).toContain('Alike within a tenth: stored for a turn');
  });

  it('chooses by figures, and gives them', () => {
    const [, choices = ''] = page.split('## When to choose which');
    expect(row(choices, 'overhead of a turn')).toEqual([
      'Temporal, SQLite',
      'Temporal, SQLite 22 ms; Temporal, Postgres 44, log, SQLite 88 |',
    ]);
    expect(row(choices, 'stored for a turn')[0]).toBe('any');
  });

  it('adds parts up, and lists them', () => {
    expect(row(page, 'CPU a turn, turns 1 to 100, ms')[0]).toBe('8');
    expect(page).toContain('in process: api 5, worker 3');
  });

  it('says so when it was forced, or quick', () => {
    const forced = { ...madeUp(), about: { ...ABOUT, forced: true, quick: true, sizes: QUICK } };
    const shown = toPage(forced, NO_CHARTS);
    expect(shown).toContain('not heeded: `--force`');
    expect(shown).toContain('`--quick`');
    expect(page).not.toContain('--force');
  });

  it('chooses nothing where fewer than two durable candidates were measured', () => {
    const alone = summarise({
      about: ABOUT,
      samples: [sample('turn', 'log-sqlite', { early: [1] })],
    });
    const [, choices = ''] = toPage(alone, NO_CHARTS).split('## When to choose which');
    expect(choices).toMatch(/^\s+Fewer than two/);
  });

  it('shows the charts that were drawn, in the section of their metric', () => {
    const shown = toPage(madeUp(), new Map([['overhead', 'comparison/overhead.svg']]));
    const [, section = ''] = shown.split('\n## A turn\n');
    expect(section.split('\n## ')[0]).toContain('](comparison/overhead.svg)');
    expect(shown.match(/\.svg/g)).toHaveLength(1);
  });

  it('breaks no table by what a cell says', () => {
    const odd = summarise({
      about: ABOUT,
      samples: [sample('recovery', 'log-sqlite', { fate: 'one | two\nthree' })],
    });
    expect(toPage(odd, NO_CHARTS)).toContain('| one \\| two three |');
  });
});

describe('the charts', () => {
  it('are drawn of what was measured, and say what failed', () => {
    const drawn = new Map(CHARTS.map(({ name, draw }) => [name, draw(madeUp())]));
    expect(drawn.get('overhead')).toContain('>failed</text>');
    expect(drawn.get('overhead')).toContain(CANDIDATES['log-sqlite'].title);
    expect(drawn.get('throughput')?.match(/<polyline/g)).toHaveLength(CANDIDATE_NAMES.length);
    expect(drawn.get('memory')).toBeUndefined();
  });

  it('belong to metrics and figures that there are', () => {
    for (const { metric } of CHARTS) expect(METRICS.map(({ name }) => name)).toContain(metric);
    expect(new Set(CHARTS.map(({ name }) => name)).size).toBe(CHARTS.length);
  });
});

describe('the metrics', () => {
  it.each([
    ['full', FULL],
    ['quick', QUICK],
  ])('have figures with keys of their own, and say how they are measured: %s', (_, sizes) => {
    for (const metric of METRICS) {
      const keys = metric.figures(sizes).map(({ key }) => key);
      expect(new Set(keys).size).toBe(keys.length);
      expect(metric.method(sizes)).not.toMatch(/undefined|NaN|\[object/);
    }
  });

  it('know for every figure that counts most which direction is better', () => {
    const most = METRICS.flatMap((metric) => metric.figures(FULL)).filter(({ headline }) => headline);
    expect(most.length).toBeGreaterThan(8);
    expect(most.filter(({ better }) => better === undefined)).toEqual([]);
  });
});
