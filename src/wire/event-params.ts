/** What clients may send as events (wire-api sections 11.4 and 13): schemas, and the stored form of each. */
import { z } from 'zod';
import type { EventBody, QueuedEvent } from './event.ts';

/** Blank text would be refused by the model at every later turn. */
const text = z.strictObject({
  type: z.literal('text'),
  text: z.string().regex(/\S/, 'text content blocks must contain non-whitespace text'),
});
const base64Image = z.strictObject({
  type: z.literal('base64'),
  media_type: z.enum(['image/jpeg', 'image/png', 'image/gif', 'image/webp']),
  data: z.base64().min(1),
});
const url = z.strictObject({ type: z.literal('url'), url: z.url({ protocol: /^https?$/ }) });
const image = z.strictObject({
  type: z.literal('image'),
  source: z.discriminatedUnion('type', [base64Image, url]),
});
const documentSource = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('base64'),
    media_type: z.literal('application/pdf'),
    data: z.base64().min(1),
  }),
  z.strictObject({ type: z.literal('text'), media_type: z.literal('text/plain'), data: z.string().min(1) }),
  url,
]);
const document = z.strictObject({
  type: z.literal('document'),
  source: documentSource,
  title: z.string().nullish(),
  context: z.string().nullish(),
});
const searchResult = z.strictObject({
  type: z.literal('search_result'),
  source: z.string(),
  title: z.string(),
  content: z.array(text).min(1),
  citations: z.strictObject({ enabled: z.boolean() }),
});

const messageContent = z.array(z.discriminatedUnion('type', [text, image, document])).min(1);
const resultContent = z.array(z.discriminatedUnion('type', [text, image, document, searchResult]));

const userMessage = z.strictObject({ type: z.literal('user.message'), content: messageContent });
const userInterrupt = z.strictObject({
  type: z.literal('user.interrupt'),
  session_thread_id: z.string().nullish(),
});
const toolConfirmation = z.strictObject({
  type: z.literal('user.tool_confirmation'),
  tool_use_id: z.string(),
  result: z.enum(['allow', 'deny']),
  deny_message: z.string().max(10_000).nullish(),
});
const customToolResult = z.strictObject({
  type: z.literal('user.custom_tool_result'),
  custom_tool_use_id: z.string(),
  content: resultContent.optional(),
  is_error: z.boolean().nullish(),
});

const systemMessage = z.strictObject({
  type: z.literal('system.message'),
  content: z.array(text).min(1).max(1000),
});

/** One event of `POST /v1/sessions/{id}/events`. */
export const eventParams = z.discriminatedUnion('type', [
  userMessage,
  userInterrupt,
  toolConfirmation,
  customToolResult,
  systemMessage,
]);

/** One of a session's `initial_events`. */
export const initialEventParams = z.discriminatedUnion('type', [userMessage]);

/** An event as a client sends it. */
export type EventParams = z.output<typeof eventParams>;

/** Event types of the wire that this server does not take yet, and why: refused by name, not as unknown. */
export const UNSUPPORTED_EVENTS: Readonly<Record<string, string>> = {
  'user.tool_result': 'only sessions of self-hosted environments take it',
  'user.define_outcome': 'outcomes are not supported by this server yet',
};

/** The stored form of what a client sent. */
export function toEvent(
  params: EventParams,
  id: string,
): QueuedEvent | Extract<EventBody, { type: 'user.custom_tool_result' }> {
  return { id, ...params } as QueuedEvent | Extract<EventBody, { type: 'user.custom_tool_result' }>;
}
