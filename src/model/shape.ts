/**
 * The shape of a Messages request, as strict as the real API: an unknown field is refused, and the message names
 * the path in the API's style (`messages.3.content.0.thinking.cache_control: Extra inputs are not permitted`).
 * What depends on more than one field is in `rules.ts`.
 */
import { z } from 'zod';
import type { ApiError } from '../wire/error.ts';
import { illegal } from './error.ts';

const cacheControl = z
  .strictObject({ type: z.literal('ephemeral'), ttl: z.enum(['5m', '1h']).optional() })
  .nullish();
const text = z.strictObject({
  type: z.literal('text'),
  text: z.string(),
  cache_control: cacheControl,
  citations: z.array(z.unknown()).nullish(),
});
const base64 = z.base64().min(1);
const url = z.strictObject({ type: z.literal('url'), url: z.url() });
const file = z.strictObject({ type: z.literal('file'), file_id: z.string().min(1) });
const imageSource = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('base64'),
    media_type: z.enum(['image/jpeg', 'image/png', 'image/gif', 'image/webp']),
    data: base64,
  }),
  url,
  file,
]);
const image = z.strictObject({
  type: z.literal('image'),
  source: imageSource,
  cache_control: cacheControl,
  transformations: z.unknown().optional(),
});
const documentSource = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('base64'), media_type: z.literal('application/pdf'), data: base64 }),
  z.strictObject({ type: z.literal('text'), media_type: z.literal('text/plain'), data: z.string() }),
  z.strictObject({
    type: z.literal('content'),
    content: z.union([z.string(), z.array(z.discriminatedUnion('type', [text, image]))]),
  }),
  url,
  file,
]);
const document = z.strictObject({
  type: z.literal('document'),
  source: documentSource,
  cache_control: cacheControl,
  citations: z.unknown().optional(),
  context: z.string().nullish(),
  title: z.string().nullish(),
});
const searchResult = z.strictObject({
  type: z.literal('search_result'),
  content: z.array(text),
  source: z.string(),
  title: z.string(),
  cache_control: cacheControl,
  citations: z.unknown().optional(),
});
const toolReference = z.looseObject({ type: z.literal('tool_reference') });
const toolId = z.string().regex(/^[a-zA-Z0-9_-]+$/, "String should match pattern '^[a-zA-Z0-9_-]+$'");
const toolUse = z.strictObject({
  type: z.literal('tool_use'),
  id: toolId,
  name: z.string().min(1).max(200),
  input: z.record(z.string(), z.unknown()),
  cache_control: cacheControl,
  caller: z.unknown().optional(),
  toolset_name: z.string().nullish(),
});
const resultContent = z.discriminatedUnion('type', [text, image, document, searchResult, toolReference]);
const toolResult = z.strictObject({
  type: z.literal('tool_result'),
  tool_use_id: toolId,
  content: z.union([z.string(), z.array(resultContent)]).optional(),
  is_error: z.boolean().optional(),
  cache_control: cacheControl,
  toolset_name: z.string().nullish(),
});
// Blocks of server tools: the scripted model never makes any, but a log from elsewhere may hold them.
const serverBlock = z.looseObject({
  type: z.enum([
    'server_tool_use',
    'web_search_tool_result',
    'web_fetch_tool_result',
    'code_execution_tool_result',
    'bash_code_execution_tool_result',
    'text_editor_code_execution_tool_result',
    'tool_search_tool_result',
    'mcp_tool_use',
    'mcp_tool_result',
    'container_upload',
  ]),
  cache_control: cacheControl,
});
const block = z.discriminatedUnion('type', [
  text,
  image,
  document,
  searchResult,
  z.strictObject({ type: z.literal('thinking'), thinking: z.string(), signature: z.string() }),
  z.strictObject({ type: z.literal('redacted_thinking'), data: z.string() }),
  toolUse,
  toolResult,
  serverBlock,
]);
const message = z.strictObject({
  role: z.enum(['user', 'assistant', 'system']),
  content: z.union([z.string(), z.array(block)]),
});

const customTool = z.strictObject({
  type: z.literal('custom').nullish(),
  name: z.string().regex(/^[a-zA-Z0-9_-]{1,128}$/, "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"),
  description: z.string().optional(),
  input_schema: z.looseObject({ type: z.literal('object') }),
  cache_control: cacheControl,
  allowed_callers: z.array(z.string()).optional(),
  defer_loading: z.boolean().optional(),
  eager_input_streaming: z.boolean().nullish(),
  input_examples: z.array(z.record(z.string(), z.unknown())).optional(),
  strict: z.boolean().optional(),
});
const builtInTool = z.looseObject({
  type: z.string(),
  name: z.string().min(1).optional(),
  cache_control: cacheControl,
});

const display = z.enum(['summarized', 'omitted']).nullish();
const thinking = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('enabled'),
    budget_tokens: z.int().min(1024, 'Input should be greater than or equal to 1024'),
    display,
  }),
  z.strictObject({ type: z.literal('adaptive'), display }),
  z.strictObject({ type: z.literal('disabled') }),
  z.strictObject({ type: z.literal('between_tools') }),
]);
const parallel = z.boolean().optional();
const toolChoice = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('auto'), disable_parallel_tool_use: parallel }),
  z.strictObject({ type: z.literal('any'), disable_parallel_tool_use: parallel }),
  z.strictObject({ type: z.literal('tool'), name: z.string(), disable_parallel_tool_use: parallel }),
  z.strictObject({ type: z.literal('none') }),
]);

const prompt = {
  model: z.string().min(1),
  messages: z.array(message).min(1, 'at least one message is required').max(100_000),
  system: z.union([z.string(), z.array(text)]).optional(),
  tools: z.array(z.unknown()).optional(),
  tool_choice: toolChoice.optional(),
  thinking: thinking.optional(),
  cache_control: cacheControl,
  context_management: z.unknown().optional(),
  mcp_servers: z.array(z.unknown()).optional(),
  output_config: z
    .looseObject({ format: z.looseObject({ type: z.string() }).nullish(), effort: z.string().nullish() })
    .optional(),
  speed: z.string().nullish(),
};
const promptRequest = z.strictObject(prompt);
const fullRequest = z.strictObject({
  ...prompt,
  max_tokens: z.int().min(0),
  stream: z.boolean().optional(),
  stop_sequences: z.array(z.string().min(1)).optional(),
  temperature: z.number().min(0).max(1).optional(),
  top_p: z.number().optional(),
  top_k: z.int().optional(),
  metadata: z.looseObject({ user_id: z.string().nullish() }).optional(),
  service_tier: z.enum(['auto', 'standard_only']).optional(),
  container: z.unknown().optional(),
  diagnostics: z.unknown().optional(),
  inference_geo: z.string().nullish(),
  compaction: z.unknown().optional(),
  fallbacks: z.unknown().optional(),
  fallback_credit_token: z.unknown().optional(),
  billing_policy: z.unknown().optional(),
});

/** A content block of a message. */
export type Block = z.infer<typeof block>;
/** A text block of a message or of the system prompt. */
type TextBlock = z.infer<typeof text>;
/** A tool's answer. */
export type ToolResultBlock = z.infer<typeof toolResult>;
/** A cache breakpoint. */
export type CacheControl = NonNullable<z.infer<typeof cacheControl>>;
/** A tool on offer. Built-in ones without a name of their own (toolsets) have none here either. */
export interface Tool {
  readonly type?: string | null | undefined;
  readonly name?: string | undefined;
  readonly cache_control?: CacheControl | null | undefined;
}
/** One message, its content always as blocks. */
export interface Message {
  readonly role: 'user' | 'assistant' | 'system';
  readonly content: readonly Block[];
}
/** The part of a request that makes up the prompt; what token counting gets. */
export type PromptRequest = Omit<z.infer<typeof promptRequest>, 'messages' | 'system' | 'tools'> & {
  readonly messages: readonly Message[];
  readonly system: readonly TextBlock[];
  readonly tools: readonly Tool[];
};
/** A request for an answer. */
export type MessagesRequest = Omit<z.infer<typeof fullRequest>, 'messages' | 'system' | 'tools'> &
  Pick<PromptRequest, 'messages' | 'system' | 'tools'>;

/** Reads the body of `POST /v1/messages`. Throws ApiError with the first thing that is wrong. */
export function readMessagesRequest(body: unknown): MessagesRequest {
  return withBlocks(parse(fullRequest, body, []));
}

/** Reads the body of `POST /v1/messages/count_tokens`. Throws ApiError with the first thing that is wrong. */
export function readPromptRequest(body: unknown): PromptRequest {
  return withBlocks(parse(promptRequest, body, []));
}

function withBlocks<T extends z.infer<typeof promptRequest>>(raw: T) {
  return {
    ...raw,
    messages: raw.messages.map(({ role, content }) => ({ role, content: toBlocks(content) })),
    system: raw.system === undefined ? [] : toBlocks(raw.system),
    tools: (raw.tools ?? []).map((tool, at) => readTool(tool, at)),
  };
}

function toBlocks<T>(content: string | T[]): (T | TextBlock)[] {
  if (typeof content !== 'string') return content;
  return content === '' ? [] : [{ type: 'text', text: content }];
}

function readTool(tool: unknown, at: number): Tool {
  const type = typeof tool === 'object' && tool !== null && 'type' in tool ? tool.type : undefined;
  const isCustom = type === undefined || type === null || type === 'custom';
  return parse<Tool>(isCustom ? customTool : builtInTool, tool, ['tools', at]);
}

function parse<T>(schema: z.ZodType<T>, value: unknown, base: readonly PropertyKey[]): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw issue === undefined ? illegal('The request is malformed.') : toApiError(issue, value, base);
}

function toApiError(issue: z.core.$ZodIssue, root: unknown, base: readonly PropertyKey[]): ApiError {
  const { path, code } = issue;
  if (code === 'invalid_union' && issue.errors.length > 0) {
    // "string or list": what is wrong inside the list says more than that it is no string.
    const deepest = issue.errors.flat().toSorted((a, b) => b.path.length - a.path.length)[0];
    if (deepest !== undefined) {
      return toApiError({ ...deepest, path: [...path, ...deepest.path] }, root, base);
    }
  }
  if (code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    return illegal(`${spell([...path, key], root, base)}: Extra inputs are not permitted`);
  }
  const missing = code === 'invalid_type' && at(root, path) === undefined;
  return illegal(`${spell(path, root, base)}: ${missing ? 'Field required' : issue.message}`);
}

/** A path in the API's spelling: inside a content block, its type stands after its index. */
function spell(path: readonly PropertyKey[], root: unknown, base: readonly PropertyKey[]): string {
  const spelled = path.flatMap((key, i) => {
    const tag = typeof key === 'number' && path[i - 1] === 'content' && i < path.length - 1;
    const type = tag ? at(root, [...path.slice(0, i + 1), 'type']) : undefined;
    return typeof type === 'string' && path[i + 1] !== 'type' ? [key, type] : [key];
  });
  return [...base, ...spelled].map(String).join('.') || 'body';
}

function at(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined),
    root,
  );
}
