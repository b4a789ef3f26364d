/** A session's budget and other money on the wire (wire-api sections 1.4 and 27.3). Pure. */
import { z } from 'zod';

/** An amount in US cents, as text. */
export interface Money {
  amount: string;
  currency: 'USD';
}

/** A hard ceiling of what a session may cost at list price. */
export interface Budget {
  type: 'limit';
  max_list_cost: Money;
}

const amount = z
  .string()
  .regex(/^[1-9]\d{0,11}$/, 'must be a whole number of cents above 0, without decimals or leading zeros');

/** `budget` in the body of a request. */
export const budgetParams: z.ZodType<Budget> = z.strictObject({
  type: z.literal('limit'),
  max_list_cost: z.strictObject({ amount, currency: z.literal('USD') }),
});
