/**
 * From the log to the messages of a request. Pure.
 *
 * Every prefix of a log that holds a taken-up message gives valid messages: a tool use whose result is not there yet
 * gets a placeholder, so that no crash between the two can brick a session.
 */
import type { BetaContentBlockParam } from '@anthropic-ai/sdk/resources/beta/messages/messages';
import type { Entry } from '../log.ts';
import type { ResultBlock } from '../wire/event.ts';

/** What stands in for a result that was never written. */
export const NO_RESULT = 'No result was recorded for this tool call.';

/** A message, always with a list of blocks. */
export interface Message {
  readonly role: 'user' | 'assistant' | 'system';
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

/** Puts what stands for earlier messages before later ones; two of the same side become one. */
export function precede(first: readonly Message[], rest: readonly Message[]): Message[] {
  const [last, next] = [first.at(-1), rest[0]];
  if (!last || !next || last.role !== next.role) return [...first, ...rest];
  const both = { role: last.role, content: [...last.content, ...next.content] };
  return [...first.slice(0, -1), both, ...rest.slice(1)];
}

/** By the id of a tool use: the text that stands in its result's place. */
export type Cleared = ReadonlyMap<string, string>;

/** Turns entries into messages. System messages keep their place behind the user's; the others alternate. */
export function toMessages(entries: readonly Entry[], cleared: Cleared = new Map()): Message[] {
  const draft: Draft = { messages: [], results: resultsOf(entries, cleared) };
  let answer: Answer = { blocks: new Map(), uses: [] };
  for (const entry of entries) {
    const { event } = entry;
    switch (event.type) {
      case 'user.message':
        if (event.processed_at !== null) addTo(draft, 'user', event.content.map(toBlock).filter(isNotBlank));
        break;
      case 'system.message':
        if (event.processed_at !== null) addTo(draft, 'system', event.content.filter(isNotBlank));
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
function resultsOf(entries: readonly Entry[], cleared: Cleared): Map<string, BetaContentBlockParam> {
  const results = new Map<string, BetaContentBlockParam>();
  for (const { event } of entries) {
    if (event.type !== 'agent.tool_result' && event.type !== 'user.custom_tool_result') continue;
    const id = answeredBy(event);
    if (results.has(id)) continue;
    const note = cleared.get(id);
    if (note !== undefined) {
      results.set(id, { type: 'tool_result', tool_use_id: id, content: [{ type: 'text', text: note }] });
      continue;
    }
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

/** The id of the tool use that a result belongs to. */
export function answeredBy(
  event: Extract<Entry['event'], { type: 'agent.tool_result' | 'user.custom_tool_result' }>,
): string {
  return event.type === 'agent.tool_result' ? event.tool_use_id : event.custom_tool_use_id;
}

function isNotBlank(block: BetaContentBlockParam): boolean {
  return block.type !== 'text' || block.text.trim() !== '';
}

function addTo({ messages }: Draft, role: Message['role'], blocks: readonly BetaContentBlockParam[]): void {
  const last = messages.at(-1);
  if (blocks.length === 0) return;
  if (last?.role === role) last.content.push(...blocks);
  else messages.push({ role, content: [...blocks] });
}

function toBlock(block: ResultBlock): BetaContentBlockParam {
  return block as unknown as BetaContentBlockParam;
}
