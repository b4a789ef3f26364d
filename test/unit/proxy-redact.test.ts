import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRedactor } from '../../src/proxy/redact.ts';

function redact(secret: string | undefined, pieces: readonly string[]): { text: string; passed: string[] } {
  const redactor = createRedactor(secret);
  const passed = pieces.map((piece) => Buffer.from(redactor.push(Buffer.from(piece))).toString());
  return { text: passed.join('') + Buffer.from(redactor.end()).toString(), passed };
}

describe('redacting a stream', () => {
  it('gives the same however the stream is cut into pieces', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c') });
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1 }),
        fc.array(letters),
        (secret, pieces) => {
          expect(redact(secret, pieces).text).toBe(pieces.join('').replaceAll(secret, '[redacted]'));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('holds back no more than what may be the beginning of the secret', () => {
    expect(redact('sk-1', ['data: {}\n\n', 'words', 'k-', '2']).passed).toEqual([
      'data: {}\n\n',
      'word',
      '',
      'sk-2',
    ]);
  });

  it('passes everything where there is no secret', () => {
    expect(redact(undefined, ['a', '']).passed).toEqual(['a', '']);
    expect(redact('', ['a']).text).toBe('a');
  });
});
