import type { ContentBlockParam, MessageParam } from '@anthropic-ai/sdk/resources/messages/messages';
import { describe, expect, it } from 'vitest';
import { createModelApp } from '../../src/model/app.ts';
import { signThinking } from '../../src/model/signature.ts';

const app = createModelApp();
const bash = { name: 'bash', input_schema: { type: 'object' } };
const ephemeral = { type: 'ephemeral' as const };
const call = (id: string) => ({ type: 'tool_use' as const, id, name: 'bash', input: {} });
const result = (id: string) => ({ type: 'tool_result' as const, tool_use_id: id, content: 'ok' });
const user = (...content: ContentBlockParam[]): MessageParam => ({ role: 'user', content });
const assistant = (...content: ContentBlockParam[]): MessageParam => ({ role: 'assistant', content });
const text = (words: string) => ({ type: 'text' as const, text: words });
const thought = { type: 'thinking' as const, thinking: 'Hm.', signature: signThinking('Hm.', 'Hm.') };
const hi = user(text('hi'));

/** Sends a request; the message of the refusal, or `fine`. */
async function judge(more: object, path = '/v1/messages'): Promise<string> {
  const body = { model: 'any-model', max_tokens: 2048, messages: [hi], tools: [bash], ...more };
  const headers = { 'anthropic-version': '2026-10-21' };
  const response = await app.request(path, { method: 'POST', headers, body: JSON.stringify(body) });
  if (response.status === 200) return 'fine';
  const { type, error } = (await response.json()) as {
    type: string;
    error: { type: string; message: string };
  };
  expect([response.status, type, error.type]).toEqual([400, 'error', 'invalid_request_error']);
  return error.message;
}

const conversation = (...messages: MessageParam[]) => judge({ messages });

describe('tool calls and their results', () => {
  it('may be many, and roles may repeat around them', async () => {
    expect(
      await conversation(
        hi,
        hi,
        assistant(text('so')),
        assistant(call('a'), call('b')),
        user(result('b'), result('a'), text('and go on')),
        user(text('please')),
        assistant(call('c')),
        user(result('c')),
      ),
    ).toBe('fine');
  });

  it.each([
    ['nothing follows', [hi, assistant(call('a'))], 'a'],
    ['only some are answered', [hi, assistant(call('a'), call('b'), call('c')), user(result('b'))], 'a, c'],
    [
      'another message comes between',
      [hi, assistant(call('a')), assistant(text('x')), user(result('a'))],
      'a',
    ],
    [
      'the results are split in two',
      [hi, assistant(call('a'), call('b')), user(result('a')), user(result('b'))],
      'b',
    ],
    ['text comes first', [hi, assistant(call('a')), user(text('wait'), result('a'))], 'a'],
  ])('are refused where %s', async (_, messages, missing) => {
    expect(await conversation(...messages)).toBe(
      `messages.1: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${missing}. ` +
        'Each `tool_use` block must have a corresponding `tool_result` block in the next message.',
    );
  });

  it.each([
    [
      'its call is unknown',
      [hi, assistant(text('x')), user(text('y'), result('z'))],
      'messages.2.content.1',
      'z',
    ],
    ['it comes first of all', [user(result('z'))], 'messages.0.content.0', 'z'],
    [
      'it comes a second time, later',
      [hi, assistant(call('a')), user(result('a')), assistant(text('x')), user(result('a'))],
      'messages.4.content.0',
      'a',
    ],
  ])('a result is refused where %s', async (_, messages, path, id) => {
    expect(await conversation(...messages)).toBe(
      `${path}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${id}. ` +
        'Each `tool_result` block must have a corresponding `tool_use` block in the previous message.',
    );
  });

  it('have one result and one id each', async () => {
    expect(await conversation(hi, assistant(call('a')), user(result('a'), result('a')))).toMatch(
      /^messages\.2\.content\.1: each tool_use must have a single result.*: a$/,
    );
    expect(
      await conversation(
        hi,
        assistant(call('a')),
        user(result('a')),
        assistant(call('a')),
        user(result('a')),
      ),
    ).toBe('messages.3: `tool_use` ids must be unique: a');
  });

  it('need tools in the request', async () => {
    const messages = [hi, assistant(call('a')), user(result('a'))];
    expect(await judge({ messages, tools: [] })).toMatch(/must define tools/);
  });

  it('have results that say something where they are errors', async () => {
    const failed = (content: unknown) =>
      judge({
        messages: [
          hi,
          assistant(call('a')),
          { role: 'user', content: [{ ...result('a'), content, is_error: true }] },
        ],
      });
    const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'aGk=' } };
    expect(await failed('boom')).toBe('fine');
    expect(await failed('')).toMatch(/^messages\.2\.content\.0\.tool_result: content cannot be empty/);
    expect(await failed([image])).toMatch(/all content must be type "text"/);
  });
});

describe('messages', () => {
  it.each<[string, MessageParam[], string]>([
    ['begin with the user', [assistant(text('x')), hi], 'messages: first message must use the "user" role'],
    ['are at least one', [], 'messages: at least one message is required'],
    ['are not empty', [hi, assistant(), hi], 'messages.1: assistant messages must have non-empty content'],
    ['are not an empty string', [user(), hi], 'messages.0: user messages must have non-empty content'],
    [
      'hold no empty text',
      [user(text('a'), text(''))],
      'messages.0.content.1: text content blocks must be non-empty',
    ],
    [
      'hold no blank text',
      [user(text(' \n'))],
      'messages.0: text content blocks must contain non-whitespace text',
    ],
    [
      'of the user call no tools',
      [user(call('a'))],
      'messages.0.content.0: `tool_use` blocks can only be in `assistant` messages',
    ],
    [
      'of the assistant hold no results',
      [hi, assistant(result('a')), hi],
      'messages.1.content.0: `tool_result` blocks can only be in `user` messages',
    ],
    [
      'do not end in a thought',
      [hi, assistant(text('x'), thought), hi],
      'messages.1: The final block in an assistant message cannot be `thinking`.',
    ],
    [
      'end with the user',
      [hi, assistant(text('x'))],
      expect.stringMatching(/does not support assistant message prefill/),
    ],
  ])('%s', async (_, messages, message) => {
    expect(await conversation(...messages)).toEqual(message);
  });

  it('may hold blank text beside other text, and in results', async () => {
    expect(await conversation(user(text('\n'), text('hi')))).toBe('fine');
    const blank = { ...result('a'), content: [text('\n')] };
    expect(await conversation(hi, assistant(call('a')), user(blank))).toBe('fine');
    expect(await conversation(hi, assistant(text('\n'), call('a')), user(result('a')))).toMatch(
      /^messages\.1: .*non-whitespace/,
    );
    const empty = { ...result('a'), content: [text('')] };
    expect(await conversation(hi, assistant(call('a')), user(empty))).toMatch(
      /^messages\.2\.content\.0\.tool_result\.content\.0: text content blocks must be non-empty/,
    );
  });

  it('may be of the system in between, with text alone', async () => {
    const system = { role: 'system', content: 'Be brief.' };
    expect(await judge({ messages: [hi, system] })).toBe('fine');
    expect(await judge({ messages: [system, hi] })).toMatch(/first message/);
    expect(await judge({ messages: [hi, { ...system, content: [call('a')] }] })).toMatch(
      /only be in `assistant`/,
    );
  });
});

describe('fields', () => {
  it.each<[string, object, string]>([
    ['a missing one', { max_tokens: undefined }, 'max_tokens: Field required'],
    ['an unknown one', { maximum: 1 }, 'maximum: Extra inputs are not permitted'],
    [
      'an unknown one inside a block',
      { messages: [hi, assistant({ ...thought, cache_control: ephemeral } as never, text('x')), hi] },
      'messages.1.content.0.thinking.cache_control: Extra inputs are not permitted',
    ],
    [
      'an input that is no object',
      { messages: [hi, assistant({ ...call('a'), input: 'ls' }), user(result('a'))] },
      expect.stringMatching(/^messages\.1\.content\.0\.tool_use\.input: /),
    ],
    [
      'an id with odd characters',
      { messages: [hi, assistant(call('a b')), user(result('a b'))] },
      expect.stringMatching(/^messages\.1\.content\.0\.tool_use\.id: String should match pattern/),
    ],
    [
      'a block of no kind',
      { messages: [user({ type: 'tune' } as never)] },
      expect.stringMatching(/^messages\.0\.content\.0\.type: /),
    ],
    [
      'a role of no kind',
      { messages: [{ role: 'tool', content: 'x' }] },
      expect.stringMatching(/^messages\.0\.role: /),
    ],
    ['a tool without a schema', { tools: [{ name: 'x' }] }, 'tools.0.input_schema: Field required'],
    [
      'a tool with a bad name',
      { tools: [bash, { ...bash, name: 'a b' }] },
      expect.stringMatching(/^tools\.1\.name: /),
    ],
    ['two tools of one name', { tools: [bash, bash] }, 'tools: Tool names must be unique.'],
    [
      'a choice that is not offered',
      { tool_choice: { type: 'tool', name: 'rm' } },
      "tool_choice: Tool 'rm' not found in provided tools",
    ],
    [
      'a choice without tools',
      { tools: [], tool_choice: { type: 'auto' } },
      expect.stringMatching(/while providing tools/),
    ],
    [
      'what this model cannot do',
      { context_management: { edits: [{}] } },
      expect.stringMatching(/^context_management: .*not support/),
    ],
    ['an empty system text', { system: [text('')] }, 'system.0: text content blocks must be non-empty'],
  ])('are checked: %s', async (_, fields, message) => {
    expect(await judge(fields)).toEqual(message);
  });

  it('may be all that the client can send', async () => {
    const fields = {
      system: [{ ...text('Be brief.'), cache_control: { ...ephemeral, ttl: '1h' } }],
      tools: [
        { ...bash, cache_control: ephemeral, type: 'custom' },
        { type: 'bash_20250124', name: 'other' },
      ],
      tool_choice: { type: 'auto', disable_parallel_tool_use: true },
      metadata: { user_id: 'sesn_1' },
      stop_sequences: ['END'],
      output_config: { effort: 'high' },
      service_tier: 'auto',
    };
    expect(await judge({ ...fields, tools: [bash, ...fields.tools.slice(1)] })).toBe('fine');
  });

  it('include the version header', async () => {
    const response = await app.request('/v1/messages', { method: 'POST', body: '{}' });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain('anthropic-version: header is required');
  });

  it('are as strict where tokens are only counted', async () => {
    const count = (more: object) => judge({ max_tokens: undefined, ...more }, '/v1/messages/count_tokens');
    expect(await count({})).toBe('fine');
    expect(await count({ max_tokens: 1 })).toBe('max_tokens: Extra inputs are not permitted');
    expect(await count({ messages: [hi, assistant(call('a')), hi] })).toMatch(/immediately after: a/);
  });
});

describe('thinking', () => {
  const enabled = { type: 'enabled', budget_tokens: 1024 };
  const loop = (...first: ContentBlockParam[]) => [hi, assistant(...first, call('a')), user(result('a'))];

  it('is taken back as it was given', async () => {
    expect(await judge({ messages: loop(thought), thinking: enabled })).toBe('fine');
    for (const forged of [{ thinking: 'Hm!' }, { signature: '' }, { signature: 'c2lnbmVk' }]) {
      expect(await judge({ messages: loop({ ...thought, ...forged }) })).toBe(
        'messages.1.content.0: Invalid `signature` in `thinking` block',
      );
    }
  });

  it('opens a turn that is still calling tools, where a budget is set', async () => {
    const missing =
      /^messages\.1\.content\.0\.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`/;
    expect(await judge({ messages: loop(), thinking: enabled })).toMatch(missing);
    expect(await judge({ messages: loop(), thinking: { type: 'adaptive' } })).toBe('fine');
    expect(await judge({ messages: [...loop(), assistant(text('x')), hi], thinking: enabled })).toBe('fine');
    const longer = [...loop(thought), assistant(call('b')), user(result('b'))];
    expect(await judge({ messages: longer, thinking: enabled })).toBe('fine');
  });

  it('has a budget below max_tokens and no forced tool', async () => {
    expect(await judge({ thinking: { ...enabled, budget_tokens: 1000 } })).toMatch(
      /^thinking\.budget_tokens: Input should be greater than or equal to 1024/,
    );
    expect(await judge({ thinking: { ...enabled, budget_tokens: 2048 } })).toMatch(
      /`max_tokens` must be greater/,
    );
    expect(await judge({ thinking: enabled, temperature: 0.5 })).toMatch(
      /`temperature` may only be set to 1/,
    );
    expect(await judge({ thinking: enabled, tool_choice: { type: 'any' } })).toMatch(
      /Thinking may not be enabled/,
    );
  });
});

describe('cache breakpoints', () => {
  const marked = (words: string, ttl?: '5m' | '1h') => ({
    ...text(words),
    cache_control: ttl === undefined ? ephemeral : { ...ephemeral, ttl },
  });

  it('are four at most, wherever they are', async () => {
    const nested = { ...result('a'), content: [marked('x')] };
    const messages = [user(marked('1')), assistant(marked('2'), call('a')), user(nested)];
    const tools = [{ ...bash, cache_control: ephemeral }];
    expect(await judge({ messages, tools })).toBe('fine');
    for (const fifth of [{ system: [marked('s')] }, { cache_control: ephemeral }]) {
      expect(await judge({ messages, tools, ...fifth })).toBe(
        'A maximum of 4 blocks with cache_control may be provided. Found 5.',
      );
    }
  });

  it('come with the longest first', async () => {
    expect(await conversation(user(marked('a', '1h'), marked('b')))).toBe('fine');
    expect(await conversation(user(marked('a'), marked('b', '1h')))).toMatch(
      /ttl='1h' .* must not come after/,
    );
  });
});
