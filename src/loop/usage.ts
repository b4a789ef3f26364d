/** What a session has used and spent, as the loop remembers it. Pure. */
import { NO_USAGE, type Extra, type Prices } from '../log.ts';
import type { SessionUsage, SpanUsage } from '../wire/event.ts';
import { limitOf, runtimeCost, toMoney, totalCost } from './cost.ts';
import type { LoopState } from './state.ts';

/** Totals over the session. */
export interface Totals extends SpanUsage {
  readonly activeMs: number;
  /** What its tokens cost so far at list price, also those of requests that the wire does not count. */
  readonly spentMicrocents: number;
}

/** The totals of a session that has done nothing. */
export const NOTHING_USED: Totals = { ...NO_USAGE, activeMs: 0, spentMicrocents: 0 };

/** Milliseconds during which the session was running. */
export function activeMs({ totals, runningSinceMs }: LoopState, nowMs: number): number {
  return totals.activeMs + (runningSinceMs === null ? 0 : Math.max(0, nowMs - runningSinceMs));
}

/** Adds what a model request used; `charges` cost, but are no usage of the request as the wire counts it. */
export function addUsage(
  totals: Totals,
  usage: SpanUsage,
  { model, prices, charges = [] }: { model: string; prices: Prices; charges?: Extra['charges'] | undefined },
): Totals {
  const spent = totalCost(prices, [{ model, usage }, ...charges]);
  return {
    ...totals,
    input_tokens: totals.input_tokens + usage.input_tokens,
    output_tokens: totals.output_tokens + usage.output_tokens,
    cache_creation_input_tokens: totals.cache_creation_input_tokens + usage.cache_creation_input_tokens,
    cache_read_input_tokens: totals.cache_read_input_tokens + usage.cache_read_input_tokens,
    spentMicrocents: totals.spentMicrocents + spent,
  };
}

/** What the session has cost by then, running time included, in microcents. */
export function spentMicrocents(state: LoopState, nowMs: number): number {
  return state.totals.spentMicrocents + runtimeCost(state.policy.prices, activeMs(state, nowMs));
}

/** What is left of the budget, in microcents; null: there is none. A model without a price leaves nothing. */
export function leftMicrocents(state: LoopState): number | null {
  if (state.budget === null) return null;
  if (state.policy.prices.models[state.model] === undefined) return 0;
  return Math.max(0, limitOf(state.budget) - spentMicrocents(state, state.clockMs));
}

/** The usage of the session so far, as the wire has it. */
export function usageOf(state: LoopState, nowMs: number): SessionUsage {
  const { totals, policy, model } = state;
  const isPriced = policy.prices.models[model] !== undefined;
  return {
    input_tokens: totals.input_tokens,
    output_tokens: totals.output_tokens,
    cache_read_input_tokens: totals.cache_read_input_tokens,
    cache_creation: {
      ephemeral_5m_input_tokens: totals.cache_creation_input_tokens,
      ephemeral_1h_input_tokens: 0,
    },
    server_tool_use: { web_search_requests: 0, web_fetch_requests: 0 },
    active_seconds: activeMs(state, nowMs) / 1000,
    ...(isPriced ? { list_cost: toMoney(spentMicrocents(state, nowMs)) } : {}),
  };
}
