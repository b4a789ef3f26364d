/** A session's policy for tests: as short as can be, and with round prices. */
import type { ModelPrice, SessionPolicy } from '../../src/log.ts';

/** A cent for a thousand tokens of input, five for as many of output. */
const PRICE: ModelPrice = {
  input: 1000,
  output: 5000,
  cacheWrite5m: 1250,
  cacheWrite1h: 2000,
  cacheRead: 100,
};

/** What the models of tests cost; running costs nothing. */
export const PRICES: SessionPolicy['prices'] = {
  models: { 'claude-sonnet-5': PRICE, 'claude-opus-4-8': PRICE },
  runtimeHour: 0,
};

/** A policy; what is given stands in place of the default. */
export function policyOf({
  modelAttempts = 3,
  modelRetryBaseMs = 10,
  provision = 'lazy',
  network = 'none',
  steering = 'turn',
  context = { clearAtTokens: 0, keepResults: 0, compactAtTokens: 0, keepAnswers: 0 },
  prices = PRICES,
  judgeModel = null,
}: Partial<SessionPolicy> = {}): SessionPolicy {
  return { modelAttempts, modelRetryBaseMs, provision, network, steering, context, prices, judgeModel };
}
