/**
 * From the log to a Messages request. Pure. The context window is a view of the log: nothing here changes the log.
 *
 * Every prefix of a log that holds a taken-up message gives a valid request: a tool use whose result is not there
 * yet gets a placeholder, so that no crash between the two can brick a session.
 */
import type {
  BetaContentBlockParam,
  MessageCreateParamsStreaming,
} from '@anthropic-ai/sdk/resources/beta/messages/messages';
import type { Entry } from '../log.ts';
import type { ModelConfig } from '../wire/agent-model.ts';
import type { AgentSnapshot, ResultBlock } from '../wire/event.ts';
import { traitsOf } from './models.ts';
import { toolboxOf } from './tools.ts';

/** What stands in for a result that was never written. */
export const NO_RESULT = 'No result was recorded for this tool call.';

const THINKING_BUDGET_TOKENS = 8_000;
const EPHEMERAL = { type: 'ephemeral' } as const;
/** Some models want it with any `speed`. */
const FAST_MODE_BETA = 'fast-mode-2026-02-01';

/** A message, always with a list of blocks. */
export interface Message {
  readonly role: 'user' | 'assistant';
  readonly content: BetaContentBlockParam[];
}

interface ToolUse {
  readonly eventId: string;
  readonly callId: string;
}

interface Answer {
  readonly blocks: Map<number, BetaContentBlockParam>;
  readonly uses: ToolUse[];
}

interface Draft {
  readonly messages: Message[];
  readonly results: Map<string, BetaContentBlockParam>;
}

/** Builds the request that the brain sends at the end of `entries`; undefined when nobody has said anything yet. */
export function toRequest(entries: readonly Entry[]): MessageCreateParamsStreaming | undefined {
  const agent = agentOf(entries);
  const model = modelOf(agent);
  const traits = traitsOf(model.id);
  const messages = withBreakpoints(toMessages(entries));
  if (messages.length === 0) return undefined;
  const system = agent['system'];
  return {
    model: model.id,
    max_tokens: traits.maxTokens,
    stream: true,
    messages,
    ...(typeof system === 'string' && system.trim() !== ''
      ? { system: [{ type: 'text', text: system, cache_control: EPHEMERAL }] }
      : {}),
    ...toolsOf(agent, messages),
    ...thinkingOf(traits.thinking),
    ...(traits.effort && model.effort ? { output_config: { effort: model.effort } } : {}),
    ...(model.inferenceGeo === undefined ? {} : { inference_geo: model.inferenceGeo }),
    ...(model.speed === 'fast' ? { speed: 'fast' as const, betas: [FAST_MODE_BETA] } : {}),
  };
}

/** The API wants tools wherever the conversation holds calls, also when the agent may make none any more. */
function toolsOf(
  agent: AgentSnapshot,
  messages: readonly Message[],
): Pick<MessageCreateParamsStreaming, 'tools' | 'tool_choice'> {
  const { offered } = toolboxOf(agent['tools']);
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

/** Turns the log into alternating messages. */
export function toMessages(entries: readonly Entry[]): Message[] {
  const draft: Draft = { messages: [], results: resultsOf(entries) };
  let answer: Answer = { blocks: new Map(), uses: [] };
  for (const entry of entries) {
    const { event } = entry;
    switch (event.type) {
      case 'user.message':
        if (event.processed_at !== null) addTo(draft, 'user', event.content.map(toBlock).filter(isNotBlank));
        break;
      case 'span.model_request_start':
        answer = { blocks: new Map(), uses: [] };
        break;
      case 'span.model_request_end':
        addAnswer(draft, answer);
        break;
      default:
        collect(answer, entry);
    }
  }
  return draft.messages;
}

/** Puts an event of the answer back where its blocks stood. */
function collect(answer: Answer, { event, extra }: Entry): void {
  const [block = answer.blocks.size] = extra?.blocks ?? [];
  switch (event.type) {
    case 'agent.thinking':
      if (extra?.thinking) answer.blocks.set(block, extra.thinking as unknown as BetaContentBlockParam);
      break;
    case 'agent.message':
      event.content.forEach((text, index) =>
        answer.blocks.set(extra?.blocks?.[index] ?? answer.blocks.size, text),
      );
      break;
    case 'agent.tool_use':
    case 'agent.custom_tool_use': {
      const callId = extra?.callId ?? event.id;
      answer.blocks.set(block, { type: 'tool_use', id: callId, name: event.name, input: event.input });
      answer.uses.push({ eventId: event.id, callId });
      break;
    }
    default:
  }
}

/**
 * Writes a finished answer and, right behind it, the result of each of its calls. The API takes neither blank text
 * nor a message that ends with a thought.
 */
function addAnswer(draft: Draft, { blocks, uses }: Answer): void {
  const ordered = [...blocks].sort(([left], [right]) => left - right).map(([, block]) => block);
  const visible = ordered.filter(isNotBlank);
  const content = visible.slice(0, visible.findLastIndex(({ type }) => !isThought(type)) + 1);
  if (content.length === 0) return;
  addTo(draft, 'assistant', content);
  if (uses.length > 0)
    addTo(
      draft,
      'user',
      uses.map((use) => resultOf(draft.results, use)),
    );
}

function isThought(type: string): boolean {
  return type === 'thinking' || type === 'redacted_thinking';
}

function resultOf(results: Draft['results'], { eventId, callId }: ToolUse): BetaContentBlockParam {
  const found = results.get(eventId);
  const missing = { type: 'tool_result' as const, tool_use_id: callId, is_error: true, content: NO_RESULT };
  return found ? ({ ...found, tool_use_id: callId } as BetaContentBlockParam) : missing;
}

/** The first result of each call is the one that counts. */
function resultsOf(entries: readonly Entry[]): Map<string, BetaContentBlockParam> {
  const results = new Map<string, BetaContentBlockParam>();
  for (const { event } of entries) {
    if (event.type !== 'agent.tool_result' && event.type !== 'user.custom_tool_result') continue;
    const id = event.type === 'agent.tool_result' ? event.tool_use_id : event.custom_tool_use_id;
    if (results.has(id)) continue;
    const failed = event.is_error === true;
    // The API takes nothing but text with an error.
    const content = (event.content ?? [])
      .map(toBlock)
      .filter((block) => isNotBlank(block) && (!failed || block.type === 'text'));
    const filled = failed && content.length === 0 ? 'The tool failed without output.' : content;
    results.set(id, {
      type: 'tool_result',
      tool_use_id: id,
      ...(filled.length > 0 ? { content: filled } : {}),
      ...(failed ? { is_error: true } : {}),
    } as BetaContentBlockParam);
  }
  return results;
}

function isNotBlank(block: BetaContentBlockParam): boolean {
  return block.type !== 'text' || block.text.trim() !== '';
}

function addTo(
  { messages }: Draft,
  role: 'user' | 'assistant',
  blocks: readonly BetaContentBlockParam[],
): void {
  const last = messages.at(-1);
  if (blocks.length === 0) return;
  if (last?.role === role) last.content.push(...blocks);
  else messages.push({ role, content: [...blocks] });
}

function toBlock(block: ResultBlock): BetaContentBlockParam {
  return block as unknown as BetaContentBlockParam;
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
