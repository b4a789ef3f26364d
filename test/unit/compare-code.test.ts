import { describe, expect, it } from 'vitest';
import { CANDIDATES } from '../../scripts/compare/candidates.ts';
import { code, countLines, ENGINE_FILES } from '../../scripts/compare/metrics/code.ts';

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
  it.each(['in-process', 'temporal-sqlite'] as const)('are those of the code there is: %s', async (name) => {
    const { own, shared, comments } = await code.examine(CANDIDATES[name]);
    const groups = Object.keys(ENGINE_FILES[CANDIDATES[name].engine]);
    expect(Object.keys(own as object)).toEqual(groups);
    expect(Object.values(own as Record<string, number>).every((lines) => lines > 20)).toBe(true);
    expect(shared).toBeGreaterThan(1000);
    expect(comments).toBeGreaterThan(0);
  });
});
