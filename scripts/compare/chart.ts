/** Charts as plain SVG that can be read in light and dark mode. Pure. */

/** One bar. */
export interface Bar {
  readonly label: string;
  readonly color: string;
  readonly value: number;
  /** A thin line goes on to here. */
  readonly high?: number | undefined;
  /** The bar in parts, which add up to its value. */
  readonly segments?: readonly Segment[] | undefined;
}

/** A part of a bar. */
export interface Segment {
  readonly name: string;
  readonly color: string;
  readonly value: number;
}

/** A row without a bar: why there is none. */
export interface Note {
  readonly label: string;
  readonly note: string;
}

/** A chart of bars in groups. */
export interface BarChart {
  readonly title: string;
  readonly unit: string;
  readonly groups: readonly { readonly label: string; readonly rows: readonly (Bar | Note)[] }[];
}

/** One line. */
export interface Line {
  readonly label: string;
  readonly color: string;
  /** One for each x; undefined where there is none. */
  readonly points: readonly (number | undefined)[];
}

/** A chart of lines over named steps; both axes are those of orders of magnitude. */
export interface LineChart {
  readonly title: string;
  readonly unit: string;
  readonly xTitle: string;
  readonly x: readonly string[];
  readonly lines: readonly Line[];
}

const WIDTH = 760;
const MARGIN = 16;
const LABELS = 150;
const VALUES = 110;
const TITLE_HEIGHT = 44;
const GROUP_HEIGHT = 26;
const ROW_HEIGHT = 20;
const BAR_HEIGHT = 13;
const LEGEND_HEIGHT = 22;
/** About what a letter takes at 12 px: enough to place a legend. */
const LETTER = 6.6;
/** Lines of text closer than this overlap. */
const TEXT_GAP = 15;

const STYLE = `
  .paper { fill: #ffffff; } .rule { stroke: #d0d7de; } .whisker { stroke: #1f2328; stroke-width: 1.5; }
  text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 14px; } .group { font-weight: 600; } .faint { fill: #656d76; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; } .rule { stroke: #3d444d; } .whisker { stroke: #e6edf3; }
    text { fill: #e6edf3; } .faint { fill: #9198a1; }
  }
`;

/** Draws bars, one row each. */
export function barChart({ title, unit, groups }: BarChart): string {
  const bars = groups.flatMap(({ rows }) => rows.filter(isBar));
  const top = Math.max(...bars.map(({ value, high }) => Math.max(value, high ?? value)), Number.MIN_VALUE);
  const plot = WIDTH - 2 * MARGIN - LABELS - VALUES;
  const length = (value: number): number => (plot * Math.max(0, value)) / top;
  const legend = legendOf(bars);
  const parts: string[] = [];
  let y = TITLE_HEIGHT;
  if (legend.length > 0) {
    const drawn = drawLegend(legend, y);
    parts.push(drawn.svg);
    y += drawn.height;
  }
  for (const { label, rows } of groups) {
    if (label !== '') {
      parts.push(text([MARGIN, y + 16], label, 'group'));
      y += GROUP_HEIGHT;
    }
    for (const row of rows) {
      parts.push(text([MARGIN, y + 14], row.label, isBar(row) ? '' : 'faint'));
      parts.push(isBar(row) ? drawBar(row, y, length) : text([MARGIN + LABELS, y + 14], row.note, 'faint'));
      y += ROW_HEIGHT;
    }
    y += 6;
  }
  return document({ title, scale: unit, height: y + MARGIN }, parts);
}

/** Draws lines, each with its name at its end. */
export function lineChart({ title, unit, xTitle, x, lines }: LineChart): string {
  const values = lines.flatMap(({ points }) => points.filter((point) => point !== undefined && point > 0));
  const [least, top] = decades(values as number[]);
  const [left, right, above, below] = [MARGIN + 50, WIDTH - MARGIN - LABELS, TITLE_HEIGHT + 8, 300];
  const at = (step: number): number =>
    x.length < 2 ? (left + right) / 2 : left + 20 + ((right - left - 40) * step) / (x.length - 1);
  const height = (value: number): number =>
    below - (below - above) * (Math.log10(value / least) / Math.log10(top / least));
  const parts: string[] = [];
  for (let value = least; value <= top * 1.001; value *= 10) {
    const y = height(value);
    parts.push(rule(left, y, right, y), text([left - 6, y + 4], shown(value), 'faint', 'end'));
  }
  for (const [step, label] of x.entries()) parts.push(text([at(step), below + 18], label, 'faint', 'middle'));
  parts.push(text([(left + right) / 2, below + 36], xTitle, 'faint', 'middle'));
  const ends: { y: number; label: string; color: string }[] = [];
  for (const { label, color, points } of lines) {
    const spots = points.flatMap((point, step) =>
      point === undefined || point <= 0 ? [] : [[at(step), height(point)] as const],
    );
    const last = spots.at(-1);
    if (!last) continue;
    const path = spots.map(([cx, cy]) => `${fixed(cx)},${fixed(cy)}`).join(' ');
    parts.push(`<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"/>`);
    for (const [cx, cy] of spots)
      parts.push(`<circle cx="${fixed(cx)}" cy="${fixed(cy)}" r="3" fill="${color}"/>`);
    ends.push({ y: last[1], label, color });
  }
  const spread = spreadOut(
    ends.map(({ y }) => y),
    TEXT_GAP,
  );
  for (const [index, { label, color }] of ends.entries()) {
    const y = spread[index] ?? 0;
    parts.push(`<rect x="${right + 4}" y="${fixed(y - 5)}" width="10" height="10" fill="${color}"/>`);
    parts.push(text([right + 19, y + 4], label));
  }
  return document({ title, scale: `${unit}; logarithmic`, height: below + 52 }, parts);
}

/** Moves positions apart that are too close, in their order, and as little as that takes. */
export function spreadOut(positions: readonly number[], gap: number): number[] {
  const order = positions.map((y, index) => ({ y, index })).sort((left, right) => left.y - right.y);
  // Blocks of neighbours that touch share the way between them.
  const blocks: { members: number[]; center: number }[] = [];
  for (const { y, index } of order) {
    blocks.push({ members: [index], center: y });
    for (let last = blocks.at(-1), before = blocks.at(-2); last && before;) {
      const reach = ((last.members.length + before.members.length) / 2) * gap;
      if (last.center - before.center >= reach) break;
      const size = last.members.length + before.members.length;
      const center = (last.center * last.members.length + before.center * before.members.length) / size;
      blocks.splice(-2, 2, { members: [...before.members, ...last.members], center });
      [last, before] = [blocks.at(-1), blocks.at(-2)];
    }
  }
  const moved = [...positions];
  for (const { members, center } of blocks)
    for (const [place, index] of members.entries())
      moved[index] = center + (place - (members.length - 1) / 2) * gap;
  return moved;
}

/** A number as people read it. */
export function shown(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString('en');
  const digits = size >= 10 ? 1 : size >= 0.1 ? 2 : 3;
  return String(Number(value.toFixed(digits)));
}

function isBar(row: Bar | Note): row is Bar {
  return 'value' in row;
}

function decades(values: readonly number[]): readonly [number, number] {
  if (values.length === 0) return [1, 10];
  const least = 10 ** Math.floor(Math.log10(Math.min(...values)));
  const top = 10 ** Math.ceil(Math.log10(Math.max(...values)));
  return [least, top > least ? top : least * 10];
}

function drawBar(
  { color, value, high, segments }: Bar,
  y: number,
  length: (value: number) => number,
): string {
  const x = MARGIN + LABELS;
  const middle = y + ROW_HEIGHT / 2;
  const parts: string[] = [];
  let from = 0;
  for (const segment of segments ?? [{ color, value, name: '' }]) {
    const [start, end] = [length(from), length(from + segment.value)];
    from += segment.value;
    if (end - start > 0.2)
      parts.push(
        `<rect x="${fixed(x + start)}" y="${fixed(middle - BAR_HEIGHT / 2)}" width="${fixed(end - start)}" height="${BAR_HEIGHT}" fill="${segment.color}"/>`,
      );
  }
  const isLonger = high !== undefined && high > value;
  const end = x + length(isLonger ? high : value);
  if (isLonger)
    parts.push(
      `<line class="whisker" x1="${fixed(x + length(value))}" y1="${middle}" x2="${fixed(end)}" y2="${middle}"/>`,
    );
  const words = isLonger ? `${shown(value)} – ${shown(high)}` : shown(value);
  parts.push(text([end + 6, y + 14], words));
  return parts.join('');
}

/** Names of segments, each once. */
function legendOf(bars: readonly Bar[]): { name: string; color: string }[] {
  const colors = new Map(
    bars.flatMap(({ segments }) => (segments ?? []).map(({ name, color }) => [name, color] as const)),
  );
  return [...colors].map(([name, color]) => ({ name, color }));
}

function drawLegend(
  entries: readonly { name: string; color: string }[],
  top: number,
): { svg: string; height: number } {
  let [x, y] = [MARGIN, top];
  const parts: string[] = [];
  for (const { name, color } of entries) {
    const width = 18 + name.length * LETTER + 14;
    if (x + width > WIDTH - MARGIN && x > MARGIN) [x, y] = [MARGIN, y + LEGEND_HEIGHT];
    parts.push(`<rect x="${fixed(x)}" y="${y + 2}" width="11" height="11" fill="${color}"/>`);
    parts.push(text([x + 16, y + 12], name));
    x += width;
  }
  return { svg: parts.join(''), height: y - top + LEGEND_HEIGHT + 4 };
}

function document(
  { title, scale, height }: { title: string; scale: string; height: number },
  parts: readonly string[],
): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${Math.ceil(height)}" width="${WIDTH}" height="${Math.ceil(height)}" role="img">`,
    `<title>${escape(title)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect width="100%" height="100%" class="paper"/>`,
    text([MARGIN, 24], title, 'title'),
    text([WIDTH - MARGIN, 24], scale, 'faint', 'end'),
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

function text([x, y]: readonly [number, number], words: string, kind = '', anchor = 'start'): string {
  const attributes = [kind && ` class="${kind}"`, anchor !== 'start' && ` text-anchor="${anchor}"`];
  return `<text x="${fixed(x)}" y="${fixed(y)}"${attributes.filter(Boolean).join('')}>${escape(words)}</text>`;
}

function rule(x1: number, y1: number, x2: number, y2: number): string {
  return `<line class="rule" x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}"/>`;
}

function fixed(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escape(words: string): string {
  return words
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
