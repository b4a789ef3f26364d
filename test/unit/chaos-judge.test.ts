/** What the judge of the chaos makes of numbers; the rest of it needs a server. */
import { expect, it } from 'vitest';
import { overasked } from '../../scripts/chaos/judge.ts';

const kills = [{ atWork: 2 }, { atWork: 0 }, { atWork: 1 }];

it('allows one request a step, and one for each session that was at work at a kill', () => {
  expect(overasked(10, 10, [])).toBe(0);
  expect(overasked(13, 10, kills)).toBe(0);
  expect(overasked(9, 10, kills)).toBe(0);
});

it('counts what is beyond that', () => {
  expect(overasked(11, 10, [])).toBe(1);
  expect(overasked(16, 10, kills)).toBe(3);
});
