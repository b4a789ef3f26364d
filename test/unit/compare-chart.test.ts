import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { barChart, lineChart, shown, spreadOut } from '../../scripts/compare/chart.ts';

/** Every element that is opened is closed, in order; no bare ampersand. */
function isWellFormed(svg: string): boolean {
  const open: string[] = [];
  for (const [, slash, name = '', end] of svg.matchAll(/<(\/?)([a-z]+)\b[^<>]*?(\/?)>/gi)) {
    if (slash) {
      if (open.pop() !== name) return false;
    } else if (!end) open.push(name);
  }
  return open.length === 0 && !/&(?!amp;|lt;|gt;|quot;)/.test(svg);
}

const numbers = (svg: string, attribute: string): number[] =>
  [...svg.matchAll(new RegExp(` ${attribute}="(-?[\\d.]+)"`, 'g'))].map((match) => Number(match[1]));
const barWidths = (svg: string): number[] =>
  [...svg.matchAll(/<rect [^>]*width="(?<width>[\d.]+)" height="13"/g)].map((match) => Number(match[1]));

const bar = (label: string, value: number) => ({ label, value, color: '#0072b2' });

describe('barChart', () => {
  it('draws bars as long as their values', () => {
    const rows = [bar('a', 10), bar('b', 40)];
    const [short = 0, long = 0] = barWidths(
      barChart({ title: 't', unit: 'ms', groups: [{ label: '', rows }] }),
    );
    expect(long / short).toBeCloseTo(4, 1);
  });

  it('draws a bar of parts that add up to it, with a legend that names each part once', () => {
    const segments = [
      { name: 'api', value: 10, color: '#111111' },
      { name: 'worker', value: 30, color: '#222222' },
    ];
    const rows = [
      { ...bar('a', 40), segments },
      { ...bar('b', 20), segments: segments.map((one) => ({ ...one, value: one.value / 2 })) },
    ];
    const svg = barChart({ title: 't', unit: 'ms', groups: [{ label: '', rows }] });
    const [api = 0, worker = 0, halfApi = 0] = barWidths(svg);
    expect(worker / api).toBeCloseTo(3, 1);
    expect(api / halfApi).toBeCloseTo(2, 1);
    expect(svg.match(/>api</g)).toHaveLength(1);
  });

  it('says why a bar is missing, and draws none', () => {
    const svg = barChart({
      title: 't',
      unit: 'ms',
      groups: [{ label: 'g', rows: [bar('a', 1), { label: 'b', note: 'failed' }] }],
    });
    expect(barWidths(svg)).toHaveLength(1);
    expect(svg).toContain('>failed</text>');
  });

  it('goes on in a line to a higher value, and never beyond the picture', () => {
    const rows = [{ ...bar('a', 10), high: 100 }, bar('b', 50)];
    const svg = barChart({ title: 't', unit: 'ms', groups: [{ label: '', rows }] });
    expect(svg).toContain('10 – 100');
    expect(Math.max(...numbers(svg, 'x2'))).toBeLessThan(760);
  });

  it('is well-formed whatever the words are, and knows the dark mode', () => {
    const svg = barChart({
      title: 'a < b & "c"',
      unit: 'ms',
      groups: [{ label: '<g>', rows: [bar('&', -1), bar('zero', 0)] }],
    });
    expect(isWellFormed(svg)).toBe(true);
    expect(svg).toContain('a &lt; b &amp; &quot;c&quot;');
    expect(svg).toContain('prefers-color-scheme: dark');
  });

  it('draws nothing but words where there is nothing', () => {
    const svg = barChart({ title: 't', unit: 'ms', groups: [] });
    expect(isWellFormed(svg)).toBe(true);
    expect(svg).not.toContain('NaN');
  });
});

describe('lineChart', () => {
  const chart = {
    title: 't',
    unit: 'turns/s',
    xTitle: 'sessions',
    x: ['1', '16', '128'],
    lines: [
      { label: 'one', color: '#111111', points: [20, 200, 210] },
      { label: 'two', color: '#222222', points: [10, undefined, 208] },
      { label: 'three', color: '#333333', points: [undefined, undefined, undefined] },
    ],
  };

  it('draws a line for what was measured, with its name at its end', () => {
    const svg = lineChart(chart);
    expect(svg.match(/<polyline/g)).toHaveLength(2);
    expect(svg.match(/<circle/g)).toHaveLength(5);
    expect(svg).not.toContain('>three<');
    expect(isWellFormed(svg)).toBe(true);
  });

  it('draws greater values higher', () => {
    const [first = 0, second = 0] = numbers(lineChart(chart), 'cy');
    expect(second).toBeLessThan(first);
  });

  it('keeps names apart whose lines end together', () => {
    const ends = [...lineChart(chart).matchAll(/<text x="[\d.]+" y="([\d.]+)">(?:one|two)</g)].map((match) =>
      Number(match[1]),
    );
    expect(Math.abs((ends[0] ?? 0) - (ends[1] ?? 0))).toBeGreaterThanOrEqual(14.9);
  });

  it('draws without numbers', () => {
    const svg = lineChart({ ...chart, lines: [] });
    expect(isWellFormed(svg)).toBe(true);
    expect(svg).not.toContain('NaN');
  });
});

describe('spreadOut', () => {
  const positions = fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 8 });

  it('leaves alone what is far enough apart', () => {
    expect(spreadOut([100, 0, 50], 15)).toEqual([100, 0, 50]);
  });

  it('moves both ways what is too close', () => {
    expect(spreadOut([100, 104], 10)).toEqual([97, 107]);
  });

  it('keeps the gap and the order, whatever comes', () => {
    fc.assert(
      fc.property(positions, (before) => {
        const after = spreadOut(before, 15);
        const order = before.map((_, index) => index).sort((left, right) => before[left]! - before[right]!);
        for (let at = 1; at < order.length; at += 1)
          expect(after[order[at]!]! - after[order[at - 1]!]!).toBeGreaterThanOrEqual(15 - 1e-6);
      }),
    );
  });
});

it('shows numbers as people read them', () => {
  expect([0, 0.0042, 0.5, 3.1428, 44.06, 1234.5, -2.264].map(shown)).toEqual([
    '0',
    '0.004',
    '0.5',
    '3.14',
    '44.1',
    '1,235',
    '-2.26',
  ]);
});
