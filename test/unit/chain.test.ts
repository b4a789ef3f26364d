/** When a run ends so that the next one begins. */
import { describe, expect, test } from 'vitest';
import { RUN_LIMITS } from '../../src/loop/run-limits.ts';
import { began, closed, EMPTY } from '../../src/loop/state.ts';
import { isFull } from '../../workflows/chain.ts';

const { events, bytes } = RUN_LIMITS;
const SHORT = { historyLength: 10, historySize: 1000, continueAsNewSuggested: false };
const link = { state: EMPTY, limits: RUN_LIMITS, isSealing: false };
const inTurn = { ...EMPTY, status: 'running', phase: { at: 'again' } } as const;

describe('a run is full', () => {
  test.each([
    ['when its history has many events', { ...SHORT, historyLength: events }],
    ['when its history has many bytes', { ...SHORT, historySize: bytes }],
    ['when the server says so', { ...SHORT, continueAsNewSuggested: true }],
  ])('%s', (_, info) => {
    expect(isFull(link, info)).toBe(true);
  });

  test('not before', () => {
    expect(isFull(link, SHORT)).toBe(false);
    expect(isFull(link, { ...SHORT, historyLength: events - 1, historySize: bytes - 1 })).toBe(false);
  });

  test('not while an operation is under way, or when the session is over', () => {
    const long = { ...SHORT, historyLength: 100 * events };
    expect(isFull({ ...link, state: began(EMPTY, 'model') }, long)).toBe(false);
    expect(isFull({ ...link, state: closed(EMPTY) }, long)).toBe(false);
  });

  test('in the middle of a turn only when it is very long', () => {
    expect(isFull({ ...link, state: inTurn }, { ...SHORT, historyLength: 4 * events - 1 })).toBe(false);
    expect(isFull({ ...link, state: inTurn }, { ...SHORT, historyLength: 4 * events })).toBe(true);
  });

  test('while the run before is not sealed only when it is very long', () => {
    const sealing = { ...link, isSealing: true };
    expect(isFull(sealing, { ...SHORT, historyLength: events })).toBe(false);
    expect(isFull(sealing, { ...SHORT, historySize: 4 * bytes })).toBe(true);
  });
});
