/** The documentation holds together: links lead somewhere, commands and settings are those of the code. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PAGES = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...globSync('docs/**/*.md', { cwd: ROOT })];

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
/** A page's prose: code may hold anything that looks like a link or a heading. */
const proseOf = (page: string): string =>
  read(page)
    .replaceAll(/^(`{3,})[^\n]*\n[\s\S]*?^\1$/gm, '')
    .replaceAll(/`[^`\n]*`/g, (code) => code.slice(1, -1));
const matches = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map((match) => match[1] ?? '');

/** What a heading is linked by, as GitHub and others make it. */
function anchorsOf(page: string): string[] {
  return matches(proseOf(page), /^#+ (.+)$/gm).map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** The links of a page that lead nowhere. */
function brokenLinks(page: string): string[] {
  return matches(proseOf(page), /\]\(([^)\s]+)\)/g).filter((link) => {
    if (/^[a-z]+:/.test(link)) return false;
    const [path = '', anchor] = link.split('#');
    const target = path === '' ? page : join(dirname(page), path);
    if (!existsSync(join(ROOT, target))) return true;
    return anchor !== undefined && !anchorsOf(target).includes(anchor);
  });
}

describe.each(PAGES)('%s', (page) => {
  it('links only to what is there', () => {
    expect(brokenLinks(page)).toEqual([]);
  });

  it('names only npm scripts that exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = [
      ...matches(read(page), /\bnpm run ([\w:-]+)/g),
      ...matches(read(page), /\bnpm (start|test)\b/g),
    ];
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });

  it('names only commands of the CLI that exist', async () => {
    const { COMMANDS } = await import('../../src/cli/commands.ts');
    const named = matches(read(page), /\bsrc\/cli\.ts ([a-z][\w-]*(?: [a-z][\w-]*)?)/g);
    const isThere = (name: string) => Object.hasOwn(COMMANDS, name);
    expect(named.filter((name) => !isThere(name) && !isThere(name.split(' ', 1)[0] ?? ''))).toEqual([]);
  });

  it('names only files that exist', () => {
    const paths = matches(read(page), /`((?:src|test|scripts|workflows|activities|docker|docs)\/[\w./-]+)`/g);
    const missing = paths.filter((path) => !existsSync(join(ROOT, path)));
    expect(missing).toEqual([]);
  });
});

it('the README is short', () => {
  expect(read('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(150);
});

it('the architecture is short', () => {
  expect(read('docs/architecture.md').trimEnd().split('\n').length).toBeLessThanOrEqual(250);
});

it('every page is linked from the README, or from a page that is', () => {
  const reached = new Set(['README.md']);
  for (const page of reached) {
    for (const link of matches(proseOf(page), /\]\(([^)\s#]+\.md)/g)) reached.add(join(dirname(page), link));
  }
  expect(PAGES.filter((page) => !reached.has(page))).toEqual([]);
});

it('every environment variable that is read is in docs/start.md, and the other way round', () => {
  const used = matches(read('src/config.ts'), /(?:\benv, |\benv\[|\brequired\()'([A-Z][A-Z0-9_]+)'/g);
  const start = read('docs/start.md');
  const documented = matches(start, /^\| `([A-Z][A-Z0-9_]+)`/gm);
  expect(used.length).toBeGreaterThan(20);
  expect([...new Set(used)].filter((name) => !start.includes(`\`${name}\``))).toEqual([]);
  expect(documented.filter((name) => !used.includes(name))).toEqual([]);
});

it('every event that this server refuses by name is in docs/wire.md', async () => {
  const { UNSUPPORTED_EVENTS } = await import('../../src/wire/event-params.ts');
  const wire = read('docs/wire.md');
  expect(Object.keys(UNSUPPORTED_EVENTS).filter((type) => !wire.includes(`\`${type}\``))).toEqual([]);
});

it('every benchmark is in docs/benchmarks.md', async () => {
  const { SCENARIOS } = await import('../../scripts/bench/scenarios.ts');
  const [own = ''] = read('docs/benchmarks.md').split('## Figures\n');
  const documented = matches(own, /^\| `([\w-]+)` \|/gm);
  expect(documented.sort()).toEqual(Object.keys(SCENARIOS).sort());
});

it('the invariants have the numbers that the tests have', () => {
  const inTests = matches(read('test/support/invariants.ts'), /^\/\*\* (\d+)\. /gm);
  const [, section = ''] = read('docs/architecture.md').split('## Invariants\n');
  expect(inTests.length).toBeGreaterThan(5);
  expect(matches(section, /^(\d+)\. /gm)).toEqual(inTests);
});

it('every decision is in the index', () => {
  const listed = matches(read('docs/adr/README.md'), /\]\((\d{4}-[\w-]+\.md)\)/g);
  expect(listed.sort()).toEqual(
    globSync('docs/adr/0*.md', { cwd: ROOT })
      .map((path) => path.slice('docs/adr/'.length))
      .sort(),
  );
});

it('every candidate and metric of the comparison is in docs/benchmarks.md', async () => {
  const { CANDIDATE_NAMES } = await import('../../scripts/compare/candidates.ts');
  const { METRICS } = await import('../../scripts/compare/schedule.ts');
  const [, section = ''] = read('docs/benchmarks.md').split('## Against other runtimes\n');
  const documented = matches(section, /^\| `([\w-]+)` \|/gm);
  expect(documented).toEqual([...CANDIDATE_NAMES, ...METRICS.map(({ name }) => name)]);
});
