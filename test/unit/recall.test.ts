import { describe, expect, test } from 'vitest';
import { OFFERED_RECALL, toRecall } from '../../src/brain/recall.ts';
import type { Entry } from '../../src/log.ts';

function read(input: unknown) {
  const recall = toRecall(input);
  if ('error' in recall) throw new Error(recall.error);
  return recall;
}

const said = (position: number, text: string): Entry => ({
  position,
  event: {
    id: `sevt_${position}`,
    type: 'agent.message',
    content: [{ type: 'text', text }],
    processed_at: '2026-01-01T00:00:00.000000Z',
  },
});
const hidden: Entry = {
  position: 7,
  event: {
    id: 'x',
    type: 'x.hand_failed',
    reason: 'secret of the house',
    processed_at: '2026-01-01T00:00:00.000000Z',
  },
};

test('the tool is offered with a schema that says what it takes', () => {
  expect(OFFERED_RECALL.input_schema).toMatchObject({
    type: 'object',
    properties: { from: {}, to: {}, types: {}, order: {} },
  });
  expect(OFFERED_RECALL.input_schema['required'] ?? []).toEqual([]);
});

test('a call names its slice', () => {
  expect(read({}).slice).toEqual({ order: 'asc' });
  expect(read({ from: 3, to: 9, types: ['user.message'], order: 'desc' }).slice).toEqual({
    from: 3,
    to: 9,
    types: ['user.message'],
    order: 'desc',
  });
});

test.each([
  [{ from: -1 }, 'from'],
  [{ to: 1.5 }, 'to'],
  [{ order: 'up' }, 'order'],
  [{ what: 1 }, 'what'],
  ['x', 'input'],
])('a call with %j is told what is wrong', (input, word) => {
  const recall = toRecall(input);
  expect('error' in recall && recall.error).toContain(word);
});

describe('what is shown', () => {
  test('is a line an event, with its position; hidden events are not', () => {
    const text = read({}).show([said(6, 'one'), hidden, said(8, 'two')]);
    expect(text.split('\n').map((line) => JSON.parse(line) as unknown)).toEqual([
      { position: 6, ...said(6, 'one').event },
      { position: 8, ...said(8, 'two').event },
    ]);
    expect(text).not.toContain('secret of the house');
  });

  test('says where to go on when there is more than fits', () => {
    const many = Array.from({ length: 201 }, (_, at) => said(at + 10, 'x'));
    expect(read({}).show(many).split('\n').at(-1)).toBe('(More follows: ask again with "from": 210.)');
    const long = [said(1, 'a'.repeat(50_000)), said(2, 'b'.repeat(50_000))];
    expect(read({}).show(long)).toContain('ask again with "from": 2.');
    expect(read({ order: 'desc' }).show(long.toReversed())).toContain('ask again with "to": 2.');
  });

  test('is read no further than it is shown', () => {
    const { isEnough } = read({});
    expect(isEnough(Array.from({ length: 200 }, (_, at) => said(at, 'x')))).toBe(false);
    expect(isEnough(Array.from({ length: 201 }, (_, at) => said(at, 'x')))).toBe(true);
    expect(isEnough([said(1, 'a'.repeat(70_000))])).toBe(false);
    expect(isEnough([said(1, 'a'.repeat(70_000)), said(2, 'b')])).toBe(true);
  });

  test('of a single huge event is its beginning', () => {
    const text = read({}).show([said(1, 'a'.repeat(200_000))]);
    expect(text.length).toBeLessThan(61_000);
    expect(text).toContain('(cut)');
  });

  test('of nothing says so', () => {
    expect(read({}).show([])).toBe('No events there.');
  });
});
