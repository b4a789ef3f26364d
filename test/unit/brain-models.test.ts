import { expect, test } from 'vitest';
import { takesSystemMessages } from '../../src/brain/models.ts';

test.each([
  ['claude-opus-4-8', true],
  ['claude-opus-4-8-20260528', true],
  ['claude-opus-5-5', true],
  ['claude-sonnet-5', true],
  ['claude-haiku-5-5', true],
  ['a-model-of-my-own', true],
  ['claude-opus-4-7', false],
  ['claude-opus-4-20250514', false],
  ['claude-opus-4-1-20250805', false],
  ['claude-opus-4', false],
  ['claude-sonnet-4-6', false],
  ['claude-haiku-4-5', false],
  ['claude-3-7-sonnet-latest', false],
])('%s takes system messages in the middle of a conversation: %s', (model, takes) => {
  expect(takesSystemMessages(model)).toBe(takes);
});
