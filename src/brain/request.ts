/**
 * From the log to a Messages request. Pure. The context window is a view of the log: what is summed up, cleared or
 * cached is decided here, for each request anew, and nothing changes the log.
 */
import type {
  BetaContentBlockParam,
  MessageCreateParamsStreaming,
} from '@anthropic-ai/sdk/resources/beta/messages/messages';
import type { Entry, SessionPolicy } from '../log.ts';
import { completePolicy } from '../loop/state.ts';
import type { ModelConfig } from '../wire/agent-model.ts';
import type { AgentSnapshot } from '../wire/event.ts';
import { summaryMessage, toCompact } from './compaction.ts';
import { precede, toMessages, type Message } from './messages.ts';
import { traitsOf, type ModelTraits } from './models.ts';
import { OFFERED_RECALL, RECALL_TOOL } from './recall.ts';
import { toolboxOf, type Toolbox } from './tools.ts';
import { windowOf } from './window.ts';

const THINKING_BUDGET_TOKENS = 8_000;
const EPHEMERAL = { type: 'ephemeral' } as const;
/** Some models want it with any `speed`. */
const FAST_MODE_BETA = 'fast-mode-2026-02-01';

/** A request to make. */
export interface Prompt {
  readonly request: MessageCreateParamsStreaming;
  /** The tools that its answer may call. */
  readonly toolbox: Toolbox;
  /** The answer is to be a summary of everything up to this position; undefined: it is the next answer. */
  readonly summarises: number | undefined;
}

/**
 * Builds what the brain sends at the end of `entries`, which start at position 0. Undefined when nobody has said
 * anything yet, or when there is nothing that a summary could be made of.
 */
export function toPrompt(entries: readonly Entry[]): Prompt | undefined {
  const agent = agentOf(entries);
  const model = modelOf(agent);
  const traits = traitsOf(model.id);
  const { context: policy } = policyOf(entries);
  const order = entries.at(-1)?.extra?.compact;
  const window = windowOf(entries, policy);
  const compact =
    order && toCompact(entries, order, { policy, startsWithThought: traits.thinking === 'budget' });
  if (order && !compact) return undefined;
  const messages = withBreakpoints(
    compact?.messages ?? precede(summaryMessage(window.summary), toMessages(window.entries, window.cleared)),
  );
  if (messages.length === 0) return undefined;
  const isPartial = window.summary !== undefined || window.cleared.size > 0;
  const toolbox = withRecall(toolboxOf(agent['tools']), isPartial);
  const request = toRequest({ agent, model, traits, toolbox, messages });
  return { request, toolbox, summarises: compact?.through };
}

interface Parts {
  readonly agent: AgentSnapshot;
  readonly model: ReturnType<typeof modelOf>;
  readonly traits: ModelTraits;
  readonly toolbox: Toolbox;
  readonly messages: Message[];
}

function toRequest({ agent, model, traits, toolbox, messages }: Parts): MessageCreateParamsStreaming {
  const system = agent['system'];
  return {
    model: model.id,
    max_tokens: traits.maxTokens,
    stream: true,
    messages: messages as MessageCreateParamsStreaming['messages'],
    ...(typeof system === 'string' && system.trim() !== ''
      ? { system: [{ type: 'text', text: system, cache_control: EPHEMERAL }] }
      : {}),
    ...toolsOf(toolbox, messages),
    ...thinkingOf(traits.thinking),
    ...(traits.effort && model.effort ? { output_config: { effort: model.effort } } : {}),
    ...(model.inferenceGeo === undefined ? {} : { inference_geo: model.inferenceGeo }),
    ...(model.speed === 'fast' ? { speed: 'fast' as const, betas: [FAST_MODE_BETA] } : {}),
  };
}

/** Offers the log to read, once something of it no longer stands in the window. */
function withRecall(toolbox: Toolbox, isPartial: boolean): Toolbox {
  if (!isPartial || toolbox.offered.some(({ name }) => name === RECALL_TOOL)) return toolbox;
  return {
    offered: [...toolbox.offered, OFFERED_RECALL],
    treatmentOf: (name) =>
      name === RECALL_TOOL
        ? { runner: 'log', permission: 'allow', evaluation: { type: 'always_allow' } }
        : toolbox.treatmentOf(name),
  };
}

/** The API wants tools wherever the conversation holds calls, also when the agent may make none any more. */
function toolsOf(
  { offered }: Toolbox,
  messages: readonly Message[],
): Pick<MessageCreateParamsStreaming, 'tools' | 'tool_choice'> {
  if (offered.length > 0) return { tools: offered.map((tool) => ({ ...tool })) };
  const blocks = messages.flatMap(({ content }) => content);
  const used = new Set(blocks.flatMap((block) => (block.type === 'tool_use' ? [block.name] : [])));
  if (used.size === 0) return {};
  const retired = [...used].map((name) => ({ name, input_schema: { type: 'object' as const } }));
  return { tools: retired, tool_choice: { type: 'none' } };
}

/** The agent as of the end of `entries`. */
export function agentOf(entries: readonly Entry[]): AgentSnapshot {
  const found = entries.findLast(
    ({ event }) =>
      event.type === 'x.session_created' || (event.type === 'session.updated' && event.agent !== undefined),
  );
  return (found?.event as { agent?: AgentSnapshot } | undefined)?.agent ?? {};
}

/** How the session is to be run, as the first entry says. */
export function policyOf([first]: readonly Entry[]): SessionPolicy {
  return completePolicy(first?.event.type === 'x.session_created' ? first.event.policy : undefined);
}

/**
 * Marks the end of the last two user messages: the newest for the next request to read, the one before because it
 * is what this request reads. With the system prompt's that makes three of the four breakpoints allowed.
 */
function withBreakpoints(messages: Message[]): Message[] {
  const users = messages.flatMap(({ role }, index) => (role === 'user' ? [index] : []));
  const marked = new Set(users.slice(-2));
  return messages.map((message, index) =>
    marked.has(index) ? { ...message, content: markLast(message.content) } : message,
  );
}

function markLast(content: readonly BetaContentBlockParam[]): BetaContentBlockParam[] {
  return content.map((block, index) =>
    index === content.length - 1 ? ({ ...block, cache_control: EPHEMERAL } as BetaContentBlockParam) : block,
  );
}

function thinkingOf(kind: 'adaptive' | 'budget' | 'none'): Pick<MessageCreateParamsStreaming, 'thinking'> {
  if (kind === 'none') return {};
  return {
    thinking:
      kind === 'adaptive' ? { type: 'adaptive' } : { type: 'enabled', budget_tokens: THINKING_BUDGET_TOKENS },
  };
}

function modelOf(agent: AgentSnapshot) {
  const model = (agent['model'] ?? {}) as Partial<ModelConfig>;
  const { id = '', effort, speed, inference_geo: inferenceGeo } = model;
  return { id, effort: effort?.type, speed, inferenceGeo };
}
