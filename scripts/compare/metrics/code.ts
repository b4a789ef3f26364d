/** How much code each engine needs, by lists of files. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Candidate } from '../candidates.ts';
import type { StaticMetric } from '../metric.ts';
import { total } from '../statistics.ts';
import type { ByName } from '../values.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** The files that only one engine needs, by what they do. Every file of the product that is in no list is shared. */
export const ENGINE_FILES: Readonly<
  Record<Candidate['engine'], Readonly<Record<string, readonly string[]>>>
> = {
  none: { loop: ['scripts/baseline/agent.ts'] },
  temporal: {
    'workflow and activities': ['workflows/**/*.ts', 'activities/**/*.ts'],
    log: ['src/engine/temporal.ts', 'src/engine/temporal/**/*.ts'],
    'running a Temporal server': ['src/temporal-server/**/*.ts'],
  },
  log: {
    harness: ['src/engine/log/{driver,carry-out,harness,plan}.ts'],
    log: [
      'src/engine/log.ts',
      'src/engine/log/{backend,changes,log-cursor,open,store,sql,rows,sqlite,postgres}.ts',
      'src/engine/log/{homes,sqlite-moves,postgres-moves,sealing,sqlite-segments,postgres-segments}.ts',
    ],
  },
};
const PRODUCT = ['src/**/*.ts', 'workflows/**/*.ts', 'activities/**/*.ts'];
/** What the plain program takes from the product. */
const HANDS = ['src/hands.ts', 'src/hands/**/*.ts'];

/** `code`. */
export const code: StaticMetric = {
  name: 'code',
  title: 'Code',
  figures: () => [
    { key: 'own', label: 'only this engine', unit: 'lines', better: 'lower', headline: 'code of the engine' },
    { key: 'shared', label: 'shared with others', unit: 'lines' },
    { key: 'comments', label: 'comments beside, only this engine', unit: 'lines' },
  ],
  method: () =>
    `Lines of TypeScript that hold code, tests apart. Blank lines and lines that hold nothing but a comment are not counted. ` +
    `The lists of files are in \`scripts/compare/metrics/code.ts\`; what is in none is shared. ` +
    `The program in process shares the sandboxes only, and offers none of the API.`,
  examine: async ({ engine }) => {
    const own = filesOf(engine);
    const groups = Object.entries(own).map(([name, files]) => [name, countAll(files)] as const);
    const shared = engine === 'none' ? find(HANDS) : sharedFiles();
    return {
      own: byName(groups.map(([name, { code }]) => [name, code])),
      shared: countAll(shared).code,
      comments: total(byName(groups.map(([name, { comments }]) => [name, comments]))),
    };
  },
};

/** The files of each group of an engine. */
function filesOf(engine: Candidate['engine']): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(
    Object.entries(ENGINE_FILES[engine]).map(([name, patterns]) => {
      const files = find(patterns);
      if (files.length === 0) throw new Error(`there are no such files: ${patterns.join(', ')}`);
      return [name, files];
    }),
  );
}

function sharedFiles(): string[] {
  const own = new Set(Object.values(ENGINE_FILES).flatMap((groups) => find(Object.values(groups).flat())));
  return find(PRODUCT).filter((file) => !own.has(file));
}

function find(patterns: readonly string[]): string[] {
  return [...new Set(patterns.flatMap((pattern) => globSync(pattern, { cwd: ROOT })))].sort();
}

function byName(pairs: readonly (readonly [string, number])[]): ByName {
  return Object.fromEntries(pairs);
}

/** Lines of each kind. */
export interface LineCount {
  readonly code: number;
  readonly comments: number;
  readonly blank: number;
}

function countAll(files: readonly string[]): LineCount {
  const counts = files.map((file) => countLines(readFileSync(join(ROOT, file), 'utf8')));
  return {
    code: counts.reduce((sum, { code }) => sum + code, 0),
    comments: counts.reduce((sum, { comments }) => sum + comments, 0),
    blank: counts.reduce((sum, { blank }) => sum + blank, 0),
  };
}

/** Counts the lines of a source. A comment behind code is on a line of code; one in front of it begins the line. */
export function countLines(source: string): LineCount {
  const count = { code: 0, comments: 0, blank: 0 };
  let isInBlock = false;
  for (const line of source
    .replace(/\n$/, '')
    .split('\n')
    .map((one) => one.trim())) {
    if (isInBlock || line.startsWith('/*')) {
      const end = line.indexOf('*/', isInBlock ? 0 : 2);
      isInBlock = end === -1;
      const isCode = end !== -1 && line.slice(end + 2).trim() !== '';
      count[isCode ? 'code' : 'comments'] += 1;
    } else if (line === '') count.blank += 1;
    else count[line.startsWith('//') ? 'comments' : 'code'] += 1;
  }
  return count;
}
