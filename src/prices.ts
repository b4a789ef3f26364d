/**
 * The price table: list prices by model. What comes with Drover are the public list prices of model families; a file
 * of the operator's stands before it, line by line. Pure: the file is read by whoever starts a process.
 */
import { z } from 'zod';
import type { ModelPrice, Prices } from './log.ts';

const cents = z.number().min(0);
const row = z.strictObject({
  input: cents,
  output: cents,
  cache_write_5m: cents.optional(),
  cache_write_1h: cents.optional(),
  cache_read: cents.optional(),
});
const tableFile = z.strictObject({
  models: z.record(z.string().min(1), row).optional(),
  runtime_hour: cents.optional(),
});

/** Prices by the beginning of a model's id; the longest one that fits counts. */
export interface PriceTable {
  readonly models: Readonly<Record<string, ModelPrice>>;
  /** US cents for an hour of running. */
  readonly runtimeHour: number;
}

/** What comes with Drover: US cents for a million tokens; running costs 8 cents an hour (wire-api 27.2). */
export const LIST_PRICES: PriceTable = {
  models: {
    'claude-opus': priceOf({ input: 500, output: 2500 }),
    'claude-opus-5-5': priceOf({ input: 400, output: 2000 }),
    'claude-opus-4-0': priceOf({ input: 1500, output: 7500 }),
    'claude-opus-4-1': priceOf({ input: 1500, output: 7500 }),
    'claude-opus-4-2025': priceOf({ input: 1500, output: 7500 }),
    'claude-sonnet': priceOf({ input: 300, output: 1500 }),
    'claude-haiku': priceOf({ input: 100, output: 500 }),
    'claude-3-opus': priceOf({ input: 1500, output: 7500 }),
    'claude-3-5-sonnet': priceOf({ input: 300, output: 1500 }),
    'claude-3-7-sonnet': priceOf({ input: 300, output: 1500 }),
    'claude-3-5-haiku': priceOf({ input: 80, output: 400 }),
    'claude-3-haiku': priceOf({ input: 25, output: 125 }),
  },
  runtimeHour: 8,
};

/** Puts an operator's table before the one that comes with Drover. Throws where the text is not a table; says why. */
export function readPriceTable(text: string): PriceTable {
  const { models = {}, runtime_hour: runtimeHour = LIST_PRICES.runtimeHour } = tableFile.parse(
    JSON.parse(text),
  );
  const own = Object.entries(models).map(([name, prices]) => [name, priceOf(prices)] as const);
  return { models: { ...LIST_PRICES.models, ...Object.fromEntries(own) }, runtimeHour };
}

/** The prices of these models; one that the table does not know is left out. */
export function pricesFor({ models, runtimeHour }: PriceTable, ids: readonly string[]): Prices {
  const found = ids.flatMap((id) => {
    const [best] = Object.keys(models)
      .filter((name) => id.startsWith(name))
      .sort((left, right) => right.length - left.length);
    const price = best === undefined ? undefined : models[best];
    return price ? [[id, price] as const] : [];
  });
  return { models: Object.fromEntries(found), runtimeHour };
}

/** Writing to the cache and reading from it have their price as multiples of the input's, unless they are given. */
function priceOf(prices: z.output<typeof row>): ModelPrice {
  const { input, output } = prices;
  return {
    input,
    output,
    cacheWrite5m: prices.cache_write_5m ?? input * 1.25,
    cacheWrite1h: prices.cache_write_1h ?? input * 2,
    cacheRead: prices.cache_read ?? input * 0.1,
  };
}
