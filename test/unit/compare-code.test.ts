import { globSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { CANDIDATES } from '../../scripts/compare/candidates.ts';
import { code, countLines, ENGINE_FILES } from '../../scripts/compare/metrics/code.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

describe('countLines', () => {
  it('tells code, comments and blank lines apart', () => {
    const source = [
      '/** A doc comment. */',
      "import { a } from 'a';",
      '',
      '/**',
      ' * Of several lines.',
      '',
      ' */',
      'const b = a; // behind code',
      '  // alone',
      "const c = '/* no comment';",
      '/* before */ const d = 1;',
      '',
    ].join('\n');
    expect(countLines(source)).toEqual({ code: 4, comments: 6, blank: 1 });
  });

  it('has nothing to count in an empty file but one blank line', () => {
    expect(countLines('')).toEqual({ code: 0, comments: 0, blank: 1 });
  });
});

describe('the lists of files', () => {
  it.each(['in-process', 'temporal-sqlite', 'log-sqlite'] as const)(
    'are those of the code there is: %s',
    async (name) => {
      const { own, shared, comments } = await code.examine(CANDIDATES[name]);
      const groups = Object.keys(ENGINE_FILES[CANDIDATES[name].engine]);
      expect(Object.keys(own as object)).toEqual(groups);
      expect(Object.values(own as Record<string, number>).every((lines) => lines > 20)).toBe(true);
      expect(shared).toBeGreaterThan(1000);
      expect(comments).toBeGreaterThan(0);
    },
  );

  it('name every file of an engine once', () => {
    const find = (pattern: string): string[] => globSync(pattern, { cwd: ROOT });
    const listed = Object.values(ENGINE_FILES).flatMap((groups) =>
      Object.values(groups).flat().flatMap(find),
    );
    expect(listed.toSorted()).toEqual([...new Set(listed)].sort());
    const engines = ['src/engine/**/*.ts', 'workflows/**/*.ts', 'activities/**/*.ts'].flatMap(find);
    expect(engines.length).toBeGreaterThan(20);
    expect(engines.filter((file) => !listed.includes(file))).toEqual([]);
  });
});
