import type { MessageCreateParamsStreaming } from '@anthropic-ai/sdk/resources/beta/messages/messages';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NO_RESULT, toMessages } from '../../src/brain/messages.ts';
import { agentOf, toPrompt } from '../../src/brain/request.ts';
import { toolboxOf } from '../../src/brain/tools.ts';
import type { Draft, Entry } from '../../src/log.ts';
import { checkAnswerable, checkPrompt, marksIn } from '../../src/model/rules.ts';
import { readMessagesRequest } from '../../src/model/shape.ts';
import { signThinking } from '../../src/model/signature.ts';
import type { ResultBlock } from '../../src/wire/event.ts';
import {
  AGENT,
  conversations,
  created,
  entriesOf,
  logOf,
  said,
  type Carrier,
} from '../support/conversation.ts';

const server = (...drafts: Draft[]): Carrier => ({ drafts, author: 'server' });
const client = (...drafts: Draft[]): Carrier => ({ drafts, author: 'client' });

const opens = (id: string): Draft => ({ event: { id, type: 'span.model_request_start' } });
const closes = (id: string, stop: 'end_turn' | 'failed' | 'refusal' | 'interrupted' = 'end_turn'): Draft => ({
  event: {
    id: `${id}-end`,
    type: 'span.model_request_end',
    model_request_start_id: id,
    is_error: stop === 'failed',
    model_usage: {
      input_tokens: 0,
      output_tokens: 0,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 0,
    },
  },
  extra: { outcome: { stop } },
});
const speaks = (id: string, ...texts: [number, string][]): Draft => ({
  event: { id, type: 'agent.message', content: texts.map(([, text]) => ({ type: 'text', text })) },
  extra: { blocks: texts.map(([at]) => at) },
});
const calls = (id: string, at: number, name = 'bash'): Draft => ({
  event: { id, type: 'agent.tool_use', name, input: { at }, evaluated_permission: 'allow' },
  extra: { blocks: [at], callId: `toolu_${id}` },
});
const thought = (words: string) => ({
  type: 'thinking',
  thinking: words,
  signature: signThinking(words, words),
});
const thinks = (id: string, at: number, words: string): Draft => ({
  event: { id, type: 'agent.thinking' },
  extra: { blocks: [at], thinking: thought(words) },
});
const result = (callId: string, content: ResultBlock[], isError?: boolean): Draft => ({
  event: {
    id: `${callId}-r${JSON.stringify(content).length}`,
    type: 'agent.tool_result',
    tool_use_id: callId,
    content,
    ...(isError === undefined ? {} : { is_error: isError }),
  },
});
const text = (words: string) => ({ type: 'text' as const, text: words });
const image = { type: 'image' as const, source: { type: 'url' as const, url: 'https://example.com/a.png' } };

const toRequest = (entries: readonly Entry[]) => toPrompt(entries)?.request;

/** Fails as the real API would where a request breaks its rules. */
function checkLegal(request: MessageCreateParamsStreaming): void {
  const { betas: _, ...body } = request;
  const read = readMessagesRequest(JSON.parse(JSON.stringify(body)));
  checkPrompt(read);
  checkAnswerable(read);
}

function refusalOf(request: MessageCreateParamsStreaming): string | undefined {
  try {
    checkLegal(request);
    return undefined;
  } catch (error) {
    return String(error);
  }
}

function requestOf(entries: readonly Entry[]): MessageCreateParamsStreaming {
  const request = toRequest(entries);
  if (!request) throw new Error('no request');
  checkLegal(request);
  return request;
}

/** All blocks in their order, each with its role, without breakpoints. */
function blocksOf({ messages }: Pick<MessageCreateParamsStreaming, 'messages'>): string[] {
  return messages.flatMap(({ role, content }) => {
    if (!Array.isArray(content)) throw new Error('content is a list of blocks');
    return content.map((block) => JSON.stringify({ role, ...(block as object), cache_control: undefined }));
  });
}

describe('every prefix of a log', () => {
  test('gives a request that the API takes', () => {
    fc.assert(
      fc.property(conversations, (carriers) => {
        const entries = entriesOf(carriers);
        const requests = entries.flatMap((_, at) => toRequest(entries.slice(0, at + 1)) ?? []);
        const distinct = new Map(requests.map((request) => [JSON.stringify(request), request]));
        expect([...distinct.values()].flatMap((request) => refusalOf(request) ?? [])).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  test('gives the beginning of every later request, so that the prompt cache holds', () => {
    fc.assert(
      fc.property(conversations, (carriers) => {
        const entries = entriesOf(carriers);
        const starts = entries.flatMap(({ event, position }) =>
          event.type === 'span.model_request_start' ? [position] : [],
        );
        let before: string[] = [];
        for (const at of starts) {
          const blocks = blocksOf(requestOf(entries.slice(0, at + 1)));
          expect(blocks.slice(0, before.length)).toEqual(before);
          before = blocks;
        }
      }),
      { numRuns: 60 },
    );
  });

  test('sets at most four breakpoints, one of them at the very end', () => {
    fc.assert(
      fc.property(conversations, (carriers) => {
        const request = toRequest(entriesOf(carriers));
        if (!request) return;
        const read = readMessagesRequest(JSON.parse(JSON.stringify({ ...request, betas: undefined })));
        const marks = [...read.system, ...read.messages.flatMap(({ content }) => content)].flatMap((block) =>
          marksIn(block),
        );
        expect(marks.length).toBeLessThanOrEqual(4);
        const lastUser = read.messages.findLast(({ role }) => role === 'user');
        expect(lastUser?.content.at(-1)).toHaveProperty('cache_control', { type: 'ephemeral' });
      }),
      { numRuns: 60 },
    );
  });

  test('is left as it was', () => {
    fc.assert(
      fc.property(conversations, (carriers) => {
        const entries = entriesOf(carriers);
        const before = JSON.stringify(entries);
        toRequest(entries);
        toRequest(entries);
        expect(JSON.stringify(entries)).toBe(before);
      }),
      { numRuns: 30 },
    );
  });
});

describe('the request of the next turn', () => {
  const first: Carrier[] = [
    server(created()),
    client(said('m1', 'one')),
    server({ processed: 'm1' }, opens('s1')),
  ];
  const second: Carrier[] = [
    ...first,
    server(thinks('t1', 0, 'hm'), speaks('a1', [1, 'Let me see.']), calls('c1', 2), closes('s1')),
    server(result('c1', [text('ok')])),
    server(opens('s2')),
  ];
  const third: Carrier[] = [
    ...second,
    server(speaks('a2', [0, 'Done.']), closes('s2')),
    client(said('m2', 'two')),
    server({ processed: 'm2' }, opens('s3')),
  ];
  const [one, two, three] = [first, second, third].map((carriers) => requestOf(entriesOf(carriers)));
  if (!one || !two || !three) throw new Error('no requests');

  test('begins with the messages of this one, message by message', () => {
    const plain = ({ messages }: MessageCreateParamsStreaming) =>
      JSON.parse(
        JSON.stringify(messages, (key, value: unknown) => (key === 'cache_control' ? undefined : value)),
      ) as unknown[];
    expect(plain(one)).toEqual([{ role: 'user', content: [text('one')] }]);
    expect(plain(two).slice(0, 1)).toEqual(plain(one));
    expect(plain(three).slice(0, 3)).toEqual(plain(two));
    expect(plain(three)).toEqual([
      { role: 'user', content: [text('one')] },
      {
        role: 'assistant',
        content: [
          thought('hm'),
          text('Let me see.'),
          { type: 'tool_use', id: 'toolu_c1', name: 'bash', input: { at: 2 } },
        ],
      },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_c1', content: [text('ok')] }] },
      { role: 'assistant', content: [text('Done.')] },
      { role: 'user', content: [text('two')] },
    ]);
  });

  test('has everything before the messages unchanged', () => {
    for (const part of ['model', 'system', 'tools', 'thinking', 'max_tokens', 'output_config'] as const) {
      expect(JSON.stringify(three[part])).toBe(JSON.stringify(one[part]));
    }
  });

  test('has breakpoints where this one wrote the cache and where the next will read it', () => {
    const marked = ({ messages }: MessageCreateParamsStreaming) =>
      messages.flatMap(({ content }, at) => (JSON.stringify(content).includes('cache_control') ? [at] : []));
    expect([one, two, three].map(marked)).toEqual([[0], [0, 2], [2, 4]]);
  });
});

describe('the agent', () => {
  const requestFor = (changes: object) => requestOf(logOf([opens('s')], { ...AGENT, ...changes }));

  test('gives the model, the system prompt and the tools', () => {
    const request = requestFor({});
    expect(request).toMatchObject({
      model: 'claude-opus-4-8',
      stream: true,
      system: [{ type: 'text', text: 'You test.', cache_control: { type: 'ephemeral' } }],
      output_config: { effort: 'high' },
    });
    expect(request.tools).toEqual(toolboxOf(AGENT['tools']).offered);
    expect(request).not.toHaveProperty('tool_choice');
  });

  test.each([null, undefined, '', ' \n'])('may have no system prompt: %j', (system) => {
    expect(requestFor({ system })).not.toHaveProperty('system');
  });

  test('may have no tools', () => {
    expect(requestFor({ tools: [] })).not.toHaveProperty('tools');
  });

  test('thinks as its model can', () => {
    const thinking = (id: string) => requestFor({ model: { id } }).thinking;
    for (const id of [
      'claude-opus-4-8',
      'claude-sonnet-5',
      'claude-opus-5-1-20270101',
      'claude-sonnet-4-6',
      'something-new',
    ]) {
      expect(thinking(id), id).toEqual({ type: 'adaptive' });
    }
    for (const id of [
      'claude-opus-4-5',
      'claude-sonnet-4-5-20250929',
      'claude-haiku-4-5',
      'claude-sonnet-4-20250514',
      'claude-opus-4-1',
    ]) {
      expect(thinking(id), id).toMatchObject({ type: 'enabled', budget_tokens: expect.any(Number) });
    }
    expect(thinking('claude-3-5-haiku-20241022')).toBeUndefined();
  });

  test('asks for effort and speed only where it is set and can be', () => {
    expect(requestFor({ model: { id: 'claude-opus-4-8' } })).not.toHaveProperty('output_config');
    expect(requestFor({ model: { id: 'claude-sonnet-4-5', effort: { type: 'low' } } })).not.toHaveProperty(
      'output_config',
    );
    const fast = requestFor({ model: { id: 'claude-opus-4-8', speed: 'fast' } });
    expect(fast).toMatchObject({ speed: 'fast', betas: ['fast-mode-2026-02-01'] });
    const standard = requestFor({});
    expect(standard).not.toHaveProperty('speed');
    expect(standard).not.toHaveProperty('betas');
  });

  test('is the newest that an update gave', () => {
    const update = (id: string, changes: object): Draft => ({
      event: { id, type: 'session.updated', ...changes },
    });
    const custom = { type: 'custom', name: 'other', description: 'Other.', input_schema: { type: 'object' } };
    const entries = logOf([
      update('u1', { agent: { ...AGENT, tools: [custom] } }),
      update('u2', { title: 'no agent in here' }),
      opens('s'),
    ]);
    expect(requestOf(entries).tools?.map((tool) => 'name' in tool && tool.name)).toEqual(['other']);
    expect(agentOf(entries)).toMatchObject({ tools: [custom] });
    expect(agentOf(entries.slice(0, 3))).toEqual(AGENT);
    expect(agentOf([])).toEqual({});
  });

  test('that lost its tools after having used them still gets a legal request', () => {
    const used = [opens('s1'), calls('c1', 0), closes('s1'), result('c1', [text('ok')])];
    const update: Draft = { event: { id: 'u', type: 'session.updated', agent: { ...AGENT, tools: [] } } };
    const request = requestOf(logOf([...used, update, opens('s2')]));
    expect(request.tools?.map((tool) => 'name' in tool && tool.name)).toEqual(['bash']);
    expect(request.tool_choice).toEqual({ type: 'none' });
  });
});

describe('messages', () => {
  test('count once they are taken up, in the order in which they were', () => {
    const entries = entriesOf([
      server(created()),
      client(said('m1', 'one'), said('m2', 'two'), said('m3', 'three')),
      server({ processed: 'm2' }, { processed: 'm1' }),
    ]);
    expect(toMessages(entries)).toEqual([{ role: 'user', content: [text('two'), text('one')] }]);
  });

  test('are none before anybody has said anything', () => {
    expect(toRequest([])).toBeUndefined();
    expect(toRequest(entriesOf([server(created()), client(said('m', 'queued'))]))).toBeUndefined();
  });

  test('of one role in a row become one', () => {
    const entries = logOf([opens('s1'), closes('s1', 'failed'), opens('s2'), closes('s2', 'interrupted')]);
    expect(toMessages(entries)).toEqual([{ role: 'user', content: [text('hello')] }]);
  });
});

describe('an answer', () => {
  const messagesOf = (...drafts: Draft[]) => toMessages(logOf([opens('s1'), ...drafts])).slice(1);

  test('has its blocks where they stood, thoughts with their signature', () => {
    const messages = messagesOf(
      thinks('t1', 0, 'first'),
      thinks('t2', 3, 'second'),
      speaks('a', [1, 'one'], [4, 'two']),
      calls('c1', 2),
      calls('c2', 5),
      closes('s1'),
    );
    expect(messages[0]).toEqual({
      role: 'assistant',
      content: [
        thought('first'),
        text('one'),
        { type: 'tool_use', id: 'toolu_c1', name: 'bash', input: { at: 2 } },
        thought('second'),
        text('two'),
        { type: 'tool_use', id: 'toolu_c2', name: 'bash', input: { at: 5 } },
      ],
    });
  });

  test.each([
    ['nothing', []],
    ['blank text', [speaks('a', [0, ' \n'])]],
    ['a thought', [thinks('t', 0, 'hm')]],
    ['a thought and blank text', [thinks('t', 0, 'hm'), speaks('a', [1, '\n'])]],
  ])('of %s is left out', (_, drafts) => {
    expect(messagesOf(...drafts, closes('s1', 'refusal'))).toEqual([]);
  });

  test('loses a thought at its end, not one before a call', () => {
    const messages = messagesOf(speaks('a', [0, 'one']), thinks('t', 1, 'cut off'), closes('s1'));
    expect(messages).toEqual([{ role: 'assistant', content: [text('one')] }]);
  });

  test('does not count before its span has ended', () => {
    expect(messagesOf(thinks('t', 0, 'hm'), speaks('a', [1, 'one']), calls('c', 2))).toEqual([]);
  });

  test('without notes on where its blocks stood keeps their order', () => {
    const messages = messagesOf(
      { event: { id: 'a', type: 'agent.message', content: [text('one'), text('two')] } },
      { event: { id: 'c', type: 'agent.custom_tool_use', name: 'ask_user', input: {} } },
      closes('s1'),
    );
    expect(messages[0]?.content).toEqual([
      text('one'),
      text('two'),
      { type: 'tool_use', id: 'c', name: 'ask_user', input: {} },
    ]);
  });
});

describe('results', () => {
  const resultsFor = (...drafts: Draft[]) =>
    toMessages(logOf([opens('s1'), calls('c1', 0), calls('c2', 1), closes('s1'), ...drafts])).at(-1)?.content;
  const entry = (callId: string, rest: object) => ({
    type: 'tool_result',
    tool_use_id: `toolu_${callId}`,
    ...rest,
  });
  const missing = (callId: string) => entry(callId, { is_error: true, content: NO_RESULT });

  test('of parallel calls stand in one message, in the order of the calls', () => {
    expect(resultsFor(result('c2', [text('two')]), result('c1', [text('one')]))).toEqual([
      entry('c1', { content: [text('one')] }),
      entry('c2', { content: [text('two')] }),
    ]);
  });

  test('that are missing have something in their place', () => {
    expect(resultsFor()).toEqual([missing('c1'), missing('c2')]);
    expect(resultsFor(result('c2', [text('two')]))).toEqual([
      missing('c1'),
      entry('c2', { content: [text('two')] }),
    ]);
  });

  test('count once: the first, whoever wrote it', () => {
    const fromClient: Draft = {
      event: {
        id: 'late',
        type: 'user.custom_tool_result',
        custom_tool_use_id: 'c1',
        content: [text('late')],
      },
    };
    expect(
      resultsFor(result('c1', [text('first')]), fromClient, result('c1', [text('second')]))?.[0],
    ).toEqual(entry('c1', { content: [text('first')] }));
    expect(resultsFor(fromClient, result('c1', [text('second')]))?.[0]).toEqual(
      entry('c1', { content: [text('late')] }),
    );
  });

  test('come before what the user says next', () => {
    const entries = entriesOf([
      server(created()),
      client(said('m1', 'one')),
      server({ processed: 'm1' }, opens('s1'), calls('c1', 0), closes('s1')),
      client(said('m2', 'two')),
      server(result('c1', [text('interrupted')], true), { processed: 'm2' }, opens('s2')),
    ]);
    expect(requestOf(entries).messages.at(-1)?.content).toMatchObject([
      { type: 'tool_result' },
      { type: 'text', text: 'two' },
    ]);
  });

  test('may be empty, and errors then say that they are', () => {
    const emptied = (content: ResultBlock[], isError?: boolean) =>
      resultsFor(result('c1', content, isError))?.[0];
    expect(emptied([])).toEqual(entry('c1', {}));
    expect(emptied([text(' \n')])).toEqual(entry('c1', {}));
    expect(emptied([], false)).toEqual(entry('c1', {}));
    expect(emptied([], true)).toEqual(
      entry('c1', { is_error: true, content: 'The tool failed without output.' }),
    );
    expect(emptied([text('')], true)).toEqual(emptied([], true));
  });

  test('may hold images, errors only text', () => {
    const shown = (isError: boolean) => resultsFor(result('c1', [text('see'), image], isError))?.[0];
    expect(shown(false)).toEqual(entry('c1', { content: [text('see'), image] }));
    expect(shown(true)).toEqual(entry('c1', { is_error: true, content: [text('see')] }));
  });
});
