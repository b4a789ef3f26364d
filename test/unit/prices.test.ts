import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NO_USAGE } from '../../src/log.ts';
import { costOf, limitOf, runtimeCost, toMoney } from '../../src/loop/cost.ts';
import { LIST_PRICES, pricesFor, readPriceTable } from '../../src/prices.ts';

describe('the price table', () => {
  test.each([
    ['claude-sonnet-5', 300, 1500],
    ['claude-opus-4-8-20260528', 500, 2500],
    ['claude-opus-5-5', 400, 2000],
    ['claude-opus-4-1-20250805', 1500, 7500],
    ['claude-opus-4-20250514', 1500, 7500],
    ['claude-haiku-4-5', 100, 500],
    ['claude-3-haiku-20240307', 25, 125],
  ])('%s costs %d and %d cents a million', (model, input, output) => {
    expect(pricesFor(LIST_PRICES, [model]).models[model]).toMatchObject({ input, output });
  });

  test('does not know every model', () => {
    expect(pricesFor(LIST_PRICES, ['my-model', 'claude-haiku-4-5']).models).not.toHaveProperty('my-model');
  });

  test('takes a file before its own lines, and fills in what caching costs', () => {
    const table = readPriceTable(
      JSON.stringify({
        models: {
          'my-model': { input: 10, output: 40 },
          'claude-sonnet-5': { input: 1, output: 2, cache_read: 0 },
        },
        runtime_hour: 0,
      }),
    );
    const { models, runtimeHour } = pricesFor(table, ['my-model-2', 'claude-sonnet-5', 'claude-sonnet-4-6']);
    expect(models['my-model-2']).toEqual({
      input: 10,
      output: 40,
      cacheWrite5m: 12.5,
      cacheWrite1h: 20,
      cacheRead: 1,
    });
    expect(models['claude-sonnet-5']).toMatchObject({ input: 1, cacheRead: 0 });
    expect(models['claude-sonnet-4-6']).toMatchObject({ input: 300 });
    expect(runtimeHour).toBe(0);
  });

  test.each([
    '',
    '[]',
    '{"models": {"m": {"input": 1}}}',
    '{"models": {"m": {"input": -1, "output": 1}}}',
    '{"x": 1}',
  ])('is not made of %s', (text) => {
    expect(() => readPriceTable(text)).toThrow(/JSON|expected|unrecognized|invalid/i);
  });
});

describe('a cost', () => {
  const prices = pricesFor(LIST_PRICES, ['claude-sonnet-5']);

  test('is the sum of its parts, in microcents', () => {
    const usage = {
      input_tokens: 1,
      output_tokens: 10,
      cache_creation_input_tokens: 100,
      cache_read_input_tokens: 1000,
    };
    expect(costOf(prices, { model: 'claude-sonnet-5', usage })).toBe(300 + 15_000 + 37_500 + 30_000);
    expect(costOf(prices, { model: 'unknown', usage })).toBe(0);
  });

  test('of an hour is eight cents', () => {
    expect(toMoney(runtimeCost(prices, 3_600_000))).toEqual({ amount: '8', currency: 'USD' });
    expect(toMoney(runtimeCost(prices, 3_599_000))).toEqual({ amount: '7', currency: 'USD' });
  });

  test('shows whole cents, so that a budget is met exactly when the amount shows it', () => {
    fc.assert(
      fc.property(fc.nat(50_000_000), fc.integer({ min: 1, max: 50 }), (spent, amount) => {
        const budget = { type: 'limit', max_list_cost: { amount: String(amount), currency: 'USD' } } as const;
        expect(spent >= limitOf(budget)).toBe(Number(toMoney(spent).amount) >= amount);
      }),
    );
  });

  test('never falls when more is used', () => {
    fc.assert(
      fc.property(fc.nat(1e6), fc.nat(1e6), (less, more) => {
        const cost = (input_tokens: number) =>
          costOf(prices, { model: 'claude-sonnet-5', usage: { ...NO_USAGE, input_tokens } });
        expect(cost(less + more)).toBe(cost(less) + cost(more));
      }),
    );
  });
});
