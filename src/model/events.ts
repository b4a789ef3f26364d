/** The events of a streamed answer, in the real API's order, and the message that they add up to. */
import type {
  ContentBlock,
  Message,
  MessageDeltaUsage,
  RawMessageStreamEvent,
  Usage,
} from '@anthropic-ai/sdk/resources/messages/messages';
import type { Answer, AnswerBlock } from './answer.ts';
import type { CacheUsage } from './cache.ts';
import type { ErrorBody } from '../wire/error.ts';

const CHUNK_CHARS = 24;
// Fields that only the beta shape has, where they are always present.
const BETA_USAGE = { iterations: null, fallback_credit: null };

/** Whatever can stand in the stream. */
type StreamEvent = RawMessageStreamEvent | { readonly type: 'ping' } | ErrorBody;
/** An event, how long to wait before it, and which holds must have been released. */
export interface TimedEvent {
  readonly event: StreamEvent;
  readonly delayMs: number;
  readonly holds?: readonly string[];
}

/** Lays an answer out as events. `beta` adds the fields that only the beta route has. */
export function toEvents(answer: Answer, cache: CacheUsage, beta: boolean): TimedEvent[] {
  const events: TimedEvent[] = [soon(messageStart(answer, cache, beta)), soon({ type: 'ping' })];
  let index = 0;
  let pauseMs = 0;
  let holds: string[] = [];
  for (const item of answer.items) {
    if (item.type === 'pause') {
      pauseMs += item.delayMs;
      if (item.hold !== undefined) holds.push(item.hold);
      continue;
    }
    const [first, ...rest] = blockEvents(item, index);
    if (first !== undefined) events.push({ ...first, delayMs: first.delayMs + pauseMs, holds }, ...rest);
    pauseMs = 0;
    holds = [];
    index += 1;
  }
  const delta: RawMessageStreamEvent = {
    type: 'message_delta',
    delta: {
      stop_reason: answer.stop.stop,
      stop_sequence: answer.stopSequence,
      stop_details: stopDetails(answer),
      container: null,
    },
    usage: deltaUsage(answer, cache),
  };
  events.push({ event: beta ? withContextManagement(delta) : delta, delayMs: pauseMs, holds });
  return [...events, soon({ type: 'message_stop' })];
}

function soon(event: StreamEvent): TimedEvent {
  return { event, delayMs: 0 };
}

/** The field is part of the beta shape only, where it is always present. */
function withContextManagement<T extends object>(value: T): T {
  return { ...value, context_management: null };
}

function messageStart(answer: Answer, cache: CacheUsage, beta: boolean): RawMessageStreamEvent {
  const usage: Usage = {
    input_tokens: cache.inputTokens,
    cache_creation_input_tokens: cache.written5mTokens + cache.written1hTokens,
    cache_read_input_tokens: cache.readTokens,
    cache_creation: {
      ephemeral_5m_input_tokens: cache.written5mTokens,
      ephemeral_1h_input_tokens: cache.written1hTokens,
    },
    output_tokens: 1,
    output_tokens_details: null,
    server_tool_use: null,
    service_tier: 'standard',
    inference_geo: null,
    speed: null,
  };
  const message: Message = {
    id: answer.id,
    type: 'message',
    role: 'assistant',
    model: answer.model,
    content: [],
    container: null,
    diagnostics: null,
    stop_reason: null,
    stop_sequence: null,
    stop_details: null,
    usage: beta ? { ...usage, ...BETA_USAGE } : usage,
  };
  return { type: 'message_start', message: beta ? withContextManagement(message) : message };
}

function deltaUsage(answer: Answer, cache: CacheUsage): MessageDeltaUsage {
  return {
    input_tokens: cache.inputTokens,
    cache_creation_input_tokens: cache.written5mTokens + cache.written1hTokens,
    cache_read_input_tokens: cache.readTokens,
    output_tokens: answer.outputTokens,
    output_tokens_details: { thinking_tokens: answer.thinkingTokens },
    server_tool_use: null,
  };
}

function stopDetails({ stop }: Answer) {
  if (stop.stop !== 'refusal') return null;
  return { type: 'refusal' as const, category: stop.category ?? null, explanation: stop.explanation ?? null };
}

function blockEvents(block: AnswerBlock, index: number): TimedEvent[] {
  const delayMs = block.chunkDelayMs ?? 0;
  const chunks = (text: string) => chunksOf(text, block.chunkChars ?? CHUNK_CHARS);
  const start = (content: ContentBlock) =>
    soon({ type: 'content_block_start', index, content_block: content });
  const stop = soon({ type: 'content_block_stop', index });
  switch (block.type) {
    case 'text':
      return [
        start({ type: 'text', text: '', citations: null }),
        ...chunks(block.text).map((text) => delta({ type: 'text_delta', text }, index, delayMs)),
        stop,
      ];
    case 'thinking':
      return [
        start({ type: 'thinking', thinking: '', signature: '' }),
        ...chunks(block.text).map((thinking) => delta({ type: 'thinking_delta', thinking }, index, delayMs)),
        delta({ type: 'signature_delta', signature: block.signature }, index, delayMs),
        stop,
      ];
    case 'tool_use':
      return [
        start({ type: 'tool_use', id: block.id, name: block.name, input: {}, caller: { type: 'direct' } }),
        ...['', ...chunks(block.json)].map((json) =>
          delta({ type: 'input_json_delta', partial_json: json }, index, delayMs),
        ),
        stop,
      ];
  }
}

type Delta = Extract<RawMessageStreamEvent, { type: 'content_block_delta' }>['delta'];

function delta(value: Delta, index: number, delayMs: number): TimedEvent {
  return { event: { type: 'content_block_delta', index, delta: value }, delayMs };
}

/** Cuts a text into pieces of about `size` characters, never through a surrogate pair. */
function chunksOf(text: string, size: number): string[] {
  const chunks: string[] = [];
  for (let from = 0; from < text.length;) {
    let to = Math.min(from + size, text.length);
    if (/[\uD800-\uDBFF]/.test(text.charAt(to - 1)) && to < text.length) to += 1;
    chunks.push(text.slice(from, to));
    from = to;
  }
  return chunks;
}

/** Adds the events up to the message that a request without streaming gets. */
export function toMessage(events: readonly TimedEvent[]): Message {
  let message: Message | undefined;
  const json = new Map<number, string>();
  for (const { event } of events) {
    if (event.type === 'message_start') message = structuredClone(event.message);
    if (message !== undefined) addEvent(message, json, event);
  }
  if (message === undefined) throw new Error('A stream without a message_start has no message.');
  return message;
}

function addEvent(message: Message, json: Map<number, string>, event: StreamEvent): void {
  if (event.type === 'content_block_start') message.content.push({ ...event.content_block });
  if (event.type === 'message_delta') {
    const { usage, delta: last } = event;
    Object.assign(message, last);
    Object.assign(
      message.usage,
      Object.fromEntries(Object.entries(usage).filter(([, value]) => value !== null)),
    );
  }
  if (event.type === 'content_block_delta') addDelta(message.content[event.index], json, event);
  if (event.type === 'content_block_stop') {
    const block = message.content[event.index];
    if (block?.type === 'tool_use') block.input = parsed(json.get(event.index) ?? '');
  }
}

function addDelta(
  block: ContentBlock | undefined,
  json: Map<number, string>,
  { index, delta: piece }: Extract<RawMessageStreamEvent, { type: 'content_block_delta' }>,
): void {
  if (block?.type === 'text' && piece.type === 'text_delta') block.text += piece.text;
  if (block?.type === 'thinking' && piece.type === 'thinking_delta') block.thinking += piece.thinking;
  if (block?.type === 'thinking' && piece.type === 'signature_delta') block.signature = piece.signature;
  if (piece.type === 'input_json_delta') json.set(index, (json.get(index) ?? '') + piece.partial_json);
}

/** An input that was cut short by `max_tokens` is no JSON; the message then has an empty one. */
function parsed(json: string): unknown {
  try {
    return json === '' ? {} : JSON.parse(json);
  } catch {
    return {};
  }
}
