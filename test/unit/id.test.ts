import fc from 'fast-check';
import { expect, test } from 'vitest';
import { newId } from '../../src/id.ts';
import { isId, toId, type IdPrefix } from '../../src/wire/id.ts';

const FORM = /^sevt_01[1-9A-HJ-NP-Za-km-z]{22}$/;

test('ids have the form of the wire: prefix, 01, 22 base58 characters', () => {
  fc.assert(
    fc.property(fc.uuid(), (uuid) => {
      expect(toId('sevt', uuid)).toMatch(FORM);
    }),
  );
  expect(toId('sevt', '00000000-0000-0000-0000-000000000000')).toBe(`sevt_01${'1'.repeat(22)}`);
  expect(toId('sevt', 'ffffffff-ffff-ffff-ffff-ffffffffffff')).toMatch(FORM);
  expect(newId('sesn')).toHaveLength(29);
});

test('two UUIDs never become one id', () => {
  fc.assert(
    fc.property(fc.uuid(), fc.nat(31), fc.nat(15), (uuid, at, digit) => {
      const hex = uuid.replaceAll('-', '').split('');
      hex[at] = digit.toString(16);
      const other = hex.join('');
      expect(toId('env', other) === toId('env', uuid)).toBe(other === uuid.replaceAll('-', ''));
    }),
  );
});

test('fresh ids differ', () => {
  expect(new Set(Array.from({ length: 2000 }, () => newId('sevt'))).size).toBe(2000);
});

test('isId knows its own ids, and nothing that is none', () => {
  for (const prefix of ['agent', 'env', 'sesn', 'sevt', 'sthr', 'req', 'hand'] satisfies IdPrefix[]) {
    expect(isId(prefix, newId(prefix))).toBe(true);
    expect(isId(prefix, newId('wrkspc'))).toBe(false);
  }
  for (const text of [
    '',
    'sesn_',
    'sesn_01/..',
    'sesn_01 ',
    'sesn_é',
    ` ${newId('sesn')}`,
    `${newId('sesn')}\n`,
    `sesn_${'a'.repeat(65)}`,
  ]) {
    expect(isId('sesn', text), JSON.stringify(text)).toBe(false);
  }
});
