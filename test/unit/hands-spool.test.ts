import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { createSpool, MAX_SHOWN_CHARS } from '../../src/hands/runner/spool.ts';

const folder = mkdtempSync(join(tmpdir(), 'drover-spool-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('createSpool', () => {
  it('shows short output whole, less colours and the last newlines', () => {
    const spool = createSpool(join(folder, 'short'));
    spool.add('\u001b[31mred\u001b[0m\n');
    spool.add('  end\n\n');
    expect(spool.end()).toBe('red\n  end');
    expect(() => readFileSync(join(folder, 'short'))).toThrow('ENOENT');
  });

  it('keeps long output in the file byte for byte, and says where', () => {
    const path = join(folder, 'deep', 'long');
    const spool = createSpool(path);
    const lines = Array.from({ length: 30_000 }, (_, at) => `line ${at} €\n`);
    for (const line of lines) spool.add(line);
    const shown = spool.end();
    const whole = lines.join('');
    expect(readFileSync(path, 'utf8')).toBe(whole);
    expect(shown.startsWith('line 0 €\nline 1 €\n')).toBe(true);
    expect(shown.endsWith('line 29998 €\nline 29999 €')).toBe(true);
    expect(shown).toContain(`${whole.length} characters in all; all of it is in ${path}`);
    expect(shown.length).toBeLessThan(MAX_SHOWN_CHARS / 4);
  });

  it('does not split a character that is two code units', () => {
    const spool = createSpool(join(folder, 'wide'));
    spool.add('x');
    spool.add('🐄'.repeat(MAX_SHOWN_CHARS));
    expect(spool.end().isWellFormed()).toBe(true);
  });

  it('shows what it can where the file cannot be written', () => {
    writeFileSync(join(folder, 'blocked'), '');
    const spool = createSpool(join(folder, 'blocked', 'inside'));
    spool.add('x'.repeat(MAX_SHOWN_CHARS + 1));
    expect(spool.end()).toMatch(
      /^x+\n\n\[output shortened: 100001 characters in all; it could not be saved: E.*\n\nx+$/,
    );
  });
});
