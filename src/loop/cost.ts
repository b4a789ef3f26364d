/**
 * What a session costs at list price. Pure, in microcents: a price in cents for a million tokens is as many
 * microcents for one, so that sums stay whole numbers.
 */
import type { Charge, Prices } from '../log.ts';
import type { Budget, Money } from '../wire/budget.ts';

const MICROCENTS = 1_000_000;
const HOUR_MS = 3_600_000;

/** What tokens of a model cost, in microcents; 0 where the model has no price. */
export function costOf({ models }: Prices, { model, usage }: Charge): number {
  const price = models[model];
  if (!price) return 0;
  return Math.round(
    usage.input_tokens * price.input +
      usage.output_tokens * price.output +
      usage.cache_creation_input_tokens * price.cacheWrite5m +
      usage.cache_read_input_tokens * price.cacheRead,
  );
}

/** What they cost together. */
export function totalCost(prices: Prices, charges: readonly Charge[]): number {
  return charges.reduce((sum, charge) => sum + costOf(prices, charge), 0);
}

/** What it costs to have been running for so long, in microcents. */
export function runtimeCost({ runtimeHour }: Prices, activeMs: number): number {
  return Math.round((activeMs * runtimeHour * MICROCENTS) / HOUR_MS);
}

/** Whole cents, as the wire writes them: what is not a whole cent yet does not show. */
export function toMoney(microcents: number): Money {
  return { amount: String(Math.floor(microcents / MICROCENTS)), currency: 'USD' };
}

/** The ceiling that a budget sets, in microcents. */
export function limitOf(budget: Budget): number {
  return Number(budget.max_list_cost.amount) * MICROCENTS;
}
