import { describe, expect, test } from 'vitest';
import type { Draft } from '../../src/log.ts';
import { carried, closing, eventNumber } from '../../src/engine/temporal/history.ts';
import {
  completed,
  continued,
  ENDED,
  NOISE,
  noted,
  run,
  scheduled,
  signaled,
  started,
} from '../support/history.ts';

const DRAFTS: Draft[] = [{ event: { id: 'r', type: 'session.status_running' } }, { processed: 'm' }];

const UNKNOWN: object = { somethingNewEventAttributes: {} };

function only(...attributes: Parameters<typeof run>[0]) {
  const [event] = run(attributes, 1_790_000_000_123);
  if (!event) throw new Error('no event');
  return event;
}

describe('a carrier', () => {
  test.each([
    ['the start of the workflow', started(DRAFTS), 'server'],
    ['a signal', signaled(DRAFTS), 'client'],
    ['what the workflow noted', noted(DRAFTS), 'server'],
    ['the input of an activity', scheduled(DRAFTS), 'server'],
    ['the result of an activity', completed(DRAFTS), 'server'],
  ] as const)('is %s', (_, attributes, author) => {
    expect(carried(only(attributes))).toEqual({ drafts: DRAFTS, author, timeUs: 1_790_000_000_123_000 });
  });

  test('has the time of its history event, to the microsecond', () => {
    const event = { ...only(signaled(DRAFTS)), eventTime: { seconds: 7 as never, nanos: 1_999 } };
    expect(carried(event)?.timeUs).toBe(7_000_001);
  });

  test.each([
    ['another signal', signaled(DRAFTS, 'close')],
    ['an empty one', scheduled([])],
    ['an activity without a result', { activityTaskCompletedEventAttributes: {} }],
    [
      'an activity whose result is nothing',
      { activityTaskCompletedEventAttributes: { result: { payloads: [] } } },
    ],
    [
      'an upsert of another memo',
      { workflowPropertiesModifiedEventAttributes: { upsertedMemo: { fields: {} } } },
    ],
    ['a marker', { markerRecordedEventAttributes: { markerName: 'core_local_activity' } }],
    ['bookkeeping', NOISE],
    ['an event of a kind that is not known', UNKNOWN],
  ])('is not %s', (_, attributes) => {
    expect(carried(only(attributes))).toBeUndefined();
  });
});

test('the end of a run names the next one, the end of the workflow none', () => {
  expect(closing(only(continued('run-2')))).toEqual({ nextRunId: 'run-2' });
  expect(closing(only(ENDED))).toEqual({ nextRunId: undefined });
  for (const how of ['Failed', 'Terminated', 'TimedOut', 'Canceled']) {
    expect(closing(only({ [`workflowExecution${how}EventAttributes`]: {} }))).toEqual({
      nextRunId: undefined,
    });
  }
  expect(closing(only(NOISE))).toBeUndefined();
  expect(closing(only(signaled(DRAFTS)))).toBeUndefined();
});

test('events are numbered, whatever form the number has', () => {
  expect(run([NOISE, NOISE]).map(eventNumber)).toEqual([1, 2]);
  expect(eventNumber({ eventId: 12 as never })).toBe(12);
});
