/** What model requests cost that end without saying so: cut off, interrupted, or lost with their worker. Pure. */
import type { BetaRawMessageStreamEvent } from '@anthropic-ai/sdk/resources/beta/messages/messages';
import { NO_USAGE, type Charge, type Prices } from '../log.ts';
import { totalCost } from '../loop/cost.ts';
import type { SpanUsage } from '../wire/event.ts';

const CHARS_PER_TOKEN = 4;
/** What a lost attempt is taken to have written before its worker died. */
const LOST_OUTPUT_TOKENS = 4096;

/**
 * What the attempts before this one may have cost: each sent the same prompt, and how much of an answer it got nobody
 * knows. Rather too much than too little, so that a budget holds under crashes.
 */
export function lostCharges(attempt: number, model: string, request: unknown): Charge[] {
  const lost = attempt - 1;
  if (lost === 0) return [];
  const estimated = Math.ceil(JSON.stringify(request).length / CHARS_PER_TOKEN);
  const usage = {
    ...NO_USAGE,
    input_tokens: lost * estimated,
    output_tokens: lost * LOST_OUTPUT_TOKENS,
  };
  return [{ model, usage }];
}

/** Whether the budget leaves anything after these charges. Without a budget, always. */
export function isAffordable(
  charges: readonly Charge[],
  prices: Prices,
  leftMicrocents: number | null,
): boolean {
  return leftMicrocents === null || totalCost(prices, charges) < leftMicrocents;
}

/** Counts what an answer has cost while it comes. */
export interface Meter {
  add(event: BetaRawMessageStreamEvent): void;
  /** What the answer has cost so far, exactly once it has come to its end; nothing before the model has begun. */
  charges(): Charge[];
}

/** Makes a meter for one request. */
export function createMeter(model: string): Meter {
  let usage: SpanUsage | undefined;
  let chars = 0;
  let told: number | undefined;
  return {
    add(event) {
      if (event.type === 'message_start') {
        const { input_tokens, cache_creation_input_tokens, cache_read_input_tokens } = event.message.usage;
        usage = {
          ...NO_USAGE,
          input_tokens,
          cache_creation_input_tokens: cache_creation_input_tokens ?? 0,
          cache_read_input_tokens: cache_read_input_tokens ?? 0,
        };
      } else if (event.type === 'content_block_delta') chars += lengthOf(event.delta);
      else if (event.type === 'message_delta') told = event.usage.output_tokens;
    },
    charges() {
      const output_tokens = told ?? Math.ceil(chars / CHARS_PER_TOKEN);
      return usage ? [{ model, usage: { ...usage, output_tokens } }] : [];
    },
  };
}

function lengthOf(
  delta: Extract<BetaRawMessageStreamEvent, { type: 'content_block_delta' }>['delta'],
): number {
  if (delta.type === 'text_delta') return delta.text.length;
  if (delta.type === 'thinking_delta') return delta.thinking.length;
  return delta.type === 'input_json_delta' ? delta.partial_json.length : 0;
}
