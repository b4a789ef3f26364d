/** What the harness must know of a model to ask it well. Unknown models get the newest family's treatment. */

/** How to ask a model. */
export interface ModelTraits {
  readonly maxTokens: number;
  /** `adaptive`: the model decides how much to think; `budget`: it needs a number. */
  readonly thinking: 'adaptive' | 'budget' | 'none';
  /** Whether it takes `output_config.effort`. */
  readonly effort: boolean;
}

const NEWEST: ModelTraits = { maxTokens: 32_000, thinking: 'adaptive', effort: true };
const FAMILIES: readonly (readonly [RegExp, ModelTraits])[] = [
  [/^claude-3/, { maxTokens: 4096, thinking: 'none', effort: false }],
  [/^claude-opus-4-5/, { maxTokens: 32_000, thinking: 'budget', effort: true }],
  [
    /^claude-(opus|sonnet|haiku)-4-[0-5]|^claude-(opus|sonnet)-4(-\d{8})?$/,
    { maxTokens: 32_000, thinking: 'budget', effort: false },
  ],
];

/** Looks a model up. */
export function traitsOf(model: string): ModelTraits {
  return FAMILIES.find(([family]) => family.test(model))?.[1] ?? NEWEST;
}

/** Those from before Claude Opus 4.8 refuse the role `system` within a conversation. */
const WITHOUT_SYSTEM_MESSAGES = /^claude-(3|(sonnet|haiku)-4|opus-4(?!-[89]\b|-\d\d\b))/;

/** Whether a model takes system messages in the middle of a conversation (wire-api 11.4). */
export function takesSystemMessages(model: string): boolean {
  return !WITHOUT_SYSTEM_MESSAGES.test(model);
}
