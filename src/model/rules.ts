/**
 * The rules of the Messages API that span more than one field: those a harness breaks when it rebuilds a
 * conversation from a log. The wording follows the real API, so that a failing test reads like the real failure.
 */
import { illegal } from './error.ts';
import type {
  Block,
  CacheControl,
  Message,
  MessagesRequest,
  PromptRequest,
  ToolResultBlock,
} from './shape.ts';
import { isSignatureOf } from './signature.ts';

const MAX_BREAKPOINTS = 4;
const ONLY_ASSISTANT = new Set([
  'thinking',
  'redacted_thinking',
  'tool_use',
  'server_tool_use',
  'mcp_tool_use',
]);
const ONLY_USER = new Set(['tool_result', 'image', 'document', 'search_result', 'container_upload']);

/** Checks what holds for every prompt, also one whose tokens are only counted. Throws ApiError. */
export function checkPrompt(request: PromptRequest): void {
  refuseUnsupported(request);
  checkMessages(request.messages);
  checkToolPairs(request.messages);
  checkThinking(request);
  checkTools(request);
  checkBreakpoints(request);
  for (const [i, { text }] of request.system.entries()) checkText(text, `system.${i}`);
  checkWords(request.system, 'system');
}

/** Checks what only holds for a request that wants an answer. Throws ApiError. */
export function checkAnswerable(request: MessagesRequest): void {
  const { thinking, max_tokens: maxTokens, temperature, tool_choice: choice } = request;
  for (const name of ['compaction', 'fallbacks', 'container'] as const) refuse(name, request[name]);
  if (thinking?.type === 'enabled' && thinking.budget_tokens >= maxTokens) {
    throw illegal('`max_tokens` must be greater than `thinking.budget_tokens`.');
  }
  if (thinking?.type !== 'enabled' && thinking?.type !== 'adaptive') return;
  if (temperature !== undefined && temperature !== 1) {
    throw illegal('`temperature` may only be set to 1 when thinking is enabled.');
  }
  if (choice?.type === 'any' || choice?.type === 'tool') {
    throw illegal('Thinking may not be enabled when tool_choice forces tool use.');
  }
}

/** The calls and answers of a message, by the id that ties them. */
export function toolResults(message: Message): ToolResultBlock[] {
  return message.content.filter((block) => block.type === 'tool_result');
}

function refuseUnsupported({
  context_management: contextManagement,
  mcp_servers: servers,
}: PromptRequest): void {
  refuse('context_management', contextManagement);
  if (servers !== undefined && servers.length > 0) refuse('mcp_servers', servers);
}

function refuse(name: string, value: unknown): void {
  if (value !== undefined && value !== null)
    throw illegal(`${name}: the scripted model does not support this.`);
}

function checkMessages(messages: readonly Message[]): void {
  if (messages[0]?.role !== 'user') throw illegal('messages: first message must use the "user" role');
  for (const [i, { role, content }] of messages.entries()) {
    if (content.length === 0) throw illegal(`messages.${i}: ${role} messages must have non-empty content`);
    for (const [j, block] of content.entries()) checkBlock(role, block, `messages.${i}.content.${j}`);
    checkWords(content, `messages.${i}`);
    const before = messages[i - 1]?.role;
    if (role === 'system' && before !== 'user') {
      throw illegal(`messages.${i}: a \`system\` message must directly follow a \`user\` message`);
    }
    if (role !== 'assistant') continue;
    const last = content.at(-1)?.type;
    if (last === 'thinking' || last === 'redacted_thinking') {
      throw illegal(`messages.${i}: The final block in an assistant message cannot be \`${last}\`.`);
    }
  }
}

function checkBlock(role: Message['role'], block: Block, path: string): void {
  if (ONLY_ASSISTANT.has(block.type) && role !== 'assistant') {
    throw illegal(`${path}: \`${block.type}\` blocks can only be in \`assistant\` messages`);
  }
  if (ONLY_USER.has(block.type) && role !== 'user') {
    throw illegal(`${path}: \`${block.type}\` blocks can only be in \`user\` messages`);
  }
  if (role === 'system' && block.type !== 'text') {
    throw illegal(`${path}: \`system\` messages can only hold \`text\` blocks`);
  }
  if (block.type === 'text') checkText(block.text, path);
  if (block.type === 'thinking' && !isSignatureOf(block.thinking, block.signature)) {
    throw illegal(`${path}: Invalid \`signature\` in \`thinking\` block`);
  }
  if (block.type === 'tool_result') checkResult(block, `${path}.tool_result`);
}

function checkText(text: string, path: string): void {
  if (text === '') throw illegal(`${path}: text content blocks must be non-empty`);
}

/** The real API takes blank text beside other text, but not alone. */
function checkWords(blocks: readonly Block[], path: string): void {
  const texts = blocks.flatMap((block) => (block.type === 'text' ? [block.text] : []));
  if (texts.length === 0 || texts.some((text) => text.trim() !== '')) return;
  throw illegal(`${path}: text content blocks must contain non-whitespace text`);
}

function checkResult({ content = [], is_error: isError }: ToolResultBlock, path: string): void {
  if (isError === true && content.length === 0) {
    throw illegal(`${path}: content cannot be empty if \`is_error\` is true`);
  }
  if (typeof content === 'string') return;
  for (const [i, block] of content.entries()) {
    if (isError === true && block.type !== 'text') {
      throw illegal(`${path}: all content must be type "text" if \`is_error\` is true`);
    }
    if (block.type === 'text') checkText(block.text, `${path}.content.${i}`);
  }
}

function checkToolPairs(messages: readonly Message[]): void {
  const seen = new Set<string>();
  for (const [i, message] of messages.entries()) {
    const calls = callIds(message);
    for (const id of calls) {
      if (seen.has(id)) throw illegal(`messages.${i}: \`tool_use\` ids must be unique: ${id}`);
      seen.add(id);
    }
    checkResultsOf(messages[i - 1], message, i);
    const answered = leadingResults(messages[i + 1]);
    const missing = calls.filter((id) => !answered.has(id));
    if (missing.length > 0) {
      throw illegal(
        `messages.${i}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ` +
          `${missing.join(', ')}. Each \`tool_use\` block must have a corresponding \`tool_result\` block in the next message.`,
      );
    }
  }
}

function checkResultsOf(previous: Message | undefined, message: Message, i: number): void {
  const calls = new Set(previous === undefined ? [] : callIds(previous));
  const found = new Set<string>();
  for (const [j, block] of message.content.entries()) {
    if (block.type !== 'tool_result') continue;
    const id = block.tool_use_id;
    if (!calls.has(id)) {
      throw illegal(
        `messages.${i}.content.${j}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${id}. ` +
          'Each `tool_result` block must have a corresponding `tool_use` block in the previous message.',
      );
    }
    if (found.has(id)) {
      throw illegal(
        `messages.${i}.content.${j}: each tool_use must have a single result. Found multiple \`tool_result\` blocks with id: ${id}`,
      );
    }
    found.add(id);
  }
}

function callIds(message: Message): string[] {
  return message.content.flatMap((block) => (block.type === 'tool_use' ? [block.id] : []));
}

/** Results only count where they come first: text before them separates them from their calls. */
function leadingResults(message: Message | undefined): Set<string> {
  const content = message?.content ?? [];
  const end = content.findIndex((block) => block.type !== 'tool_result');
  const leading = end === -1 ? content : content.slice(0, end);
  return new Set(leading.flatMap((block) => (block.type === 'tool_result' ? [block.tool_use_id] : [])));
}

/** With a thinking budget set, a turn that is in the middle of its tool calls must begin with its thinking. */
function checkThinking({ thinking, messages }: PromptRequest): void {
  const last = messages.at(-1);
  if (thinking?.type !== 'enabled' || last === undefined || toolResults(last).length === 0) return;
  const asked = messages.findLastIndex(
    (message) => message.role === 'user' && toolResults(message).length === 0,
  );
  const first = messages[asked + 1]?.content[0]?.type;
  if (first === undefined || first === 'thinking' || first === 'redacted_thinking') return;
  throw illegal(
    `messages.${asked + 1}.content.0.type: Expected \`thinking\` or \`redacted_thinking\`, but found \`${first}\`. ` +
      'When `thinking` is enabled, a final `assistant` message must start with a thinking block ' +
      '(preceding the lastmost set of `tool_use` and `tool_result` blocks).',
  );
}

function checkTools({ tools, tool_choice: choice, messages }: PromptRequest): void {
  const names = tools.flatMap(({ name }) => (name === undefined ? [] : [name]));
  if (new Set(names).size < names.length) throw illegal('tools: Tool names must be unique.');
  if (choice !== undefined && choice.type !== 'none' && tools.length === 0) {
    throw illegal('tool_choice may only be specified while providing tools.');
  }
  if (choice?.type === 'tool' && !names.includes(choice.name)) {
    throw illegal(`tool_choice: Tool '${choice.name}' not found in provided tools`);
  }
  const used = messages.some(({ content }) => content.some(({ type }) => type === 'tool_use'));
  if (used && tools.length === 0) {
    throw illegal('Requests which include `tool_use` or `tool_result` blocks must define tools.');
  }
}

function checkBreakpoints(request: PromptRequest): void {
  const found = breakpoints(request);
  if (found.length > MAX_BREAKPOINTS) {
    throw illegal(
      `A maximum of ${MAX_BREAKPOINTS} blocks with cache_control may be provided. Found ${found.length}.`,
    );
  }
  const short = found.findIndex(({ ttl = '5m' }) => ttl === '5m');
  if (short !== -1 && found.slice(short).some(({ ttl }) => ttl === '1h')) {
    throw illegal("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.");
  }
}

function breakpoints({ tools, system, messages, cache_control: automatic }: PromptRequest): CacheControl[] {
  const marks = [
    ...tools.map((tool) => tool.cache_control),
    ...system.map((block) => block.cache_control),
    ...messages.flatMap(({ content }) => content.flatMap((block) => marksIn(block))),
    automatic,
  ];
  return marks.filter((mark) => mark !== undefined && mark !== null);
}

/** The breakpoints that a block sets, those of its parts first. */
export function marksIn(block: Block): CacheControl[] {
  if (block.type === 'thinking' || block.type === 'redacted_thinking') return [];
  const parts = block.type === 'tool_result' && Array.isArray(block.content) ? block.content : [];
  const marks = [
    ...parts.map((part) => ('cache_control' in part ? part.cache_control : null)),
    block.cache_control,
  ];
  return marks.filter((mark): mark is CacheControl => typeof mark === 'object' && mark !== null);
}
