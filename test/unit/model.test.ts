import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import Anthropic, { RateLimitError } from '@anthropic-ai/sdk';
import type {
  ContentBlock,
  Message,
  MessageCreateParamsNonStreaming,
  MessageParam,
} from '@anthropic-ai/sdk/resources/messages/messages';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createModelApp, type ModelOptions } from '../../src/model/app.ts';
import { script } from '../../src/model/directives.ts';
import { createRequestLog } from '../../src/model/request-log.ts';
import { parseStream } from '../../src/model/recording.ts';
import { isSignatureOf } from '../../src/model/signature.ts';

const recordingsDir = fileURLToPath(new URL('../fixtures/streams', import.meta.url));
const bash = { name: 'bash', input_schema: { type: 'object' as const } };
const read = { name: 'read', input_schema: { type: 'object' as const } };

function setUp(options: ModelOptions = {}) {
  const app = createModelApp({ recordingsDir, ...options });
  const fetch = async (url: string | URL | Request, init?: RequestInit) => app.request(url, init);
  const client = new Anthropic({ apiKey: 'unused', baseURL: 'http://model.test', maxRetries: 0, fetch });
  return { app, client };
}

function please(...lines: object[]): string {
  return `Please.\n${script(...lines)}`;
}

function ask(content: MessageParam['content'], more: Partial<MessageCreateParamsNonStreaming> = {}) {
  return {
    model: 'claude-opus-5-5',
    max_tokens: 4096,
    messages: [{ role: 'user' as const, content }],
    ...more,
  };
}

/** What a harness does: asks until the model calls no more tools. */
async function runTurn(client: Anthropic, params: MessageCreateParamsNonStreaming) {
  const messages = [...params.messages];
  const answers: Message[] = [];
  for (;;) {
    const answer = await client.messages.stream({ ...params, messages }).finalMessage();
    answers.push(answer);
    // A message that ends with thinking (tokens ran out, say) may not be sent back.
    const end = answer.content.findLastIndex(({ type }) => type !== 'thinking') + 1;
    if (end > 0) messages.push({ role: 'assistant', content: answer.content.slice(0, end) });
    const calls = answer.content.filter((block) => block.type === 'tool_use');
    if (calls.length === 0) return { messages, answers };
    messages.push({
      role: 'user',
      content: calls.map(({ id, name }) => ({
        type: 'tool_result',
        tool_use_id: id,
        content: `ran ${name}`,
      })),
    });
  }
}

const texts = (content: ContentBlock[]) =>
  content.flatMap((block) => (block.type === 'text' ? [block.text] : []));

describe('answers', () => {
  it('echoes a message without directives and says what it is', async () => {
    const { client } = setUp();
    const { data, response } = await client.messages.create(ask('How are you?')).withResponse();
    expect(response.headers.get('x-drover-model')).toBe('scripted');
    expect(response.headers.get('request-id')).toMatch(/^req_/);
    expect(texts(data.content)[0]).toMatch(/scripted model.*You said: How are you\?/);
    expect(data).toMatchObject({ stop_reason: 'end_turn', role: 'assistant', model: 'claude-opus-5-5' });
  });

  it('follows a script through tool calls to its end', async () => {
    const { client } = setUp();
    const lines = [
      { think: 'Look first.' },
      { say: 'Looking.' },
      { call: 'bash', input: { command: 'ls' } },
      {
        calls: [
          { call: 'read', input: { was: '{{result}}' } },
          { call: 'bash', input: {} },
        ],
      },
      { say: 'All said: {{results}}; last: {{result}}; asked: {{message}}' },
    ];
    const params = ask(please(...lines), { tools: [bash, read], thinking: { type: 'adaptive' } });
    const { answers } = await runTurn(client, params);
    expect(answers.map(({ stop_reason }) => stop_reason)).toEqual(['tool_use', 'tool_use', 'end_turn']);
    expect(answers[0]?.content).toMatchObject([
      { type: 'thinking', thinking: 'Look first.' },
      { type: 'text', text: 'Looking.' },
      { type: 'tool_use', name: 'bash', input: { command: 'ls' } },
    ]);
    expect(answers[1]?.content).toMatchObject([{ input: { was: 'ran bash' } }, { name: 'bash' }]);
    expect(texts(answers[2]!.content)).toEqual([
      'All said: ran read\nran bash; last: ran bash; asked: Please.',
    ]);
  });

  it('gives the same answer to the same question, streamed or not, in parallel or again', async () => {
    const { client } = setUp();
    const params = ask(
      please({ think: 'Hm.' }, { say: 'Ünïcödé 🐂'.repeat(30) }, { call: 'bash', input: { a: [1] } }),
      {
        tools: [bash],
        thinking: { type: 'adaptive' },
      },
    );
    const whole = await client.messages.create(params);
    const streamed = await Promise.all([1, 2].map(() => client.messages.stream(params).finalMessage()));
    for (const other of streamed) {
      expect(other.content).toEqual(whole.content);
      expect(other.id).toBe(whole.id);
      expect(other.usage).toEqual(whole.usage);
    }
  });

  it('sends the events in the order of the real API', async () => {
    const { app } = setUp();
    const body = ask(please({ think: 'a' }, { say: 'b' }, { call: 'bash' }), {
      tools: [bash],
      thinking: { type: 'adaptive' },
    });
    const response = await app.request('/v1/messages?beta=true', {
      method: 'POST',
      headers: { 'anthropic-version': '2026-10-21' },
      body: JSON.stringify({ ...body, stream: true }),
    });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const events = parseStream(await response.text()).map((event) =>
      event.type === 'content_block_delta' ? event.delta.type : event.type,
    );
    expect(events).toEqual([
      'message_start',
      'ping',
      'content_block_start',
      'thinking_delta',
      'signature_delta',
      'content_block_stop',
      'content_block_start',
      'text_delta',
      'content_block_stop',
      'content_block_start',
      'input_json_delta',
      'input_json_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
  });

  it('serves the beta client', async () => {
    const { client } = setUp();
    const stream = await client.beta.messages.create({
      ...ask(please({ say: 'Hello there.' })),
      betas: ['managed-agents-2026-04-01'],
      stream: true,
    });
    const text: string[] = [];
    const starts: unknown[] = [];
    for await (const event of stream) {
      if (event.type === 'message_start') starts.push(event.message.context_management);
      if (event.type === 'content_block_delta' && event.delta.type === 'text_delta')
        text.push(event.delta.text);
    }
    expect(text.join('')).toBe('Hello there.');
    expect(starts).toEqual([null]);
  });

  it('thinks only where the request lets it, and shows no thought that is to be omitted', async () => {
    const { client } = setUp();
    const lines = please({ think: 'secret plan' }, { say: 'ok' });
    const off = await client.messages.create(ask(lines));
    expect(off.content.map(({ type }) => type)).toEqual(['text']);
    const omitted = await client.messages.create(
      ask(lines, { thinking: { type: 'adaptive', display: 'omitted' } }),
    );
    expect(omitted.content[0]).toMatchObject({ type: 'thinking', thinking: '' });
    const again = ask(lines, { thinking: { type: 'adaptive' } });
    const next = [
      ...again.messages,
      { role: 'assistant' as const, content: omitted.content },
      { role: 'user' as const, content: 'Go on' },
    ];
    await expect(client.messages.create({ ...again, messages: next })).resolves.toMatchObject({
      type: 'message',
    });
  });

  it('opens a tool-calling turn with a thought where a budget is set, so that the turn can be sent back', async () => {
    const { client } = setUp();
    const { answers } = await runTurn(
      client,
      ask(please({ call: 'bash' }, { call: 'bash' }, { say: 'done' }), {
        tools: [bash],
        thinking: { type: 'enabled', budget_tokens: 1024 },
      }),
    );
    expect(answers.map(({ content }) => content[0]?.type)).toEqual(['thinking', 'tool_use', 'text']);
  });

  it('goes on with the script after a plain message, and echoes once the script is over', async () => {
    const { client } = setUp();
    const params = ask(please({ say: 'one' }, { stop: 'end_turn' }, { say: 'two' }));
    const messages: MessageParam[] = [...params.messages];
    const said: string[] = [];
    for (const reply of ['go on', 'and now?', '']) {
      const answer = await client.messages.create({ ...params, messages });
      said.push(texts(answer.content).join());
      messages.push({ role: 'assistant', content: answer.content }, { role: 'user', content: reply || '-' });
    }
    expect(said).toEqual(['one', 'two', expect.stringContaining('You said: and now?')]);
  });

  it('says the last thing again where tools go on after the end of the script', async () => {
    const { client } = setUp();
    const { answers } = await runTurn(
      client,
      ask(please({ say: 'Calling.' }, { call: 'bash' }), { tools: [bash] }),
    );
    expect(answers.map(({ content }) => texts(content))).toEqual([['Calling.'], ['Calling.']]);
    const silent = await runTurn(client, ask(please({ call: 'bash' }), { tools: [bash] }));
    expect(texts(silent.answers[1]!.content)).toEqual(['Done. The last tool said: ran bash']);
  });

  it('lets a paused turn be continued, but refuses any other prefill', async () => {
    const { client } = setUp();
    const params = ask(please({ say: 'half' }, { stop: 'pause_turn' }, { say: 'rest' }));
    const first = await client.messages.create(params);
    expect(first.stop_reason).toBe('pause_turn');
    const continued = [...params.messages, { role: 'assistant' as const, content: first.content }];
    const second = await client.messages.create({ ...params, messages: continued });
    expect(texts(second.content)).toEqual(['rest']);
    const prefill = [
      ...params.messages,
      ...continued.slice(1),
      { role: 'assistant' as const, content: 'So' },
    ];
    await expect(client.messages.create({ ...params, messages: prefill })).rejects.toThrow(/prefill/);
  });

  it('knows where it is in a paused turn whose parts were joined into one message', async () => {
    const { client } = setUp();
    const params = ask(
      please(
        { say: 'a' },
        { stop: 'pause_turn' },
        { say: 'b' },
        { say: 'c' },
        { stop: 'pause_turn' },
        { say: 'd' },
      ),
    );
    const joined: ContentBlock[] = [];
    const reasons: unknown[] = [];
    while (reasons.at(-1) !== 'end_turn') {
      const turn = joined.length === 0 ? [] : [{ role: 'assistant' as const, content: joined }];
      const answer = await client.messages.create({ ...params, messages: [...params.messages, ...turn] });
      joined.push(...answer.content);
      reasons.push(answer.stop_reason);
    }
    expect(reasons).toEqual(['pause_turn', 'pause_turn', 'end_turn']);
    expect(texts(joined)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('can refuse, with the details of the refusal', async () => {
    const { client } = setUp();
    const lines = please({ say: 'I can' }, { stop: 'refusal', category: 'bio', explanation: 'No.' });
    const answer = await client.messages.stream(ask(lines)).finalMessage();
    expect(answer).toMatchObject({
      stop_reason: 'refusal',
      stop_details: { type: 'refusal', category: 'bio', explanation: 'No.' },
    });
  });

  it('keeps to max_tokens, in the middle of a tool input if need be', async () => {
    const { client } = setUp();
    const text = await client.messages.create(ask(please({ say: 'x'.repeat(100) }), { max_tokens: 5 }));
    expect(text).toMatchObject({ stop_reason: 'max_tokens', usage: { output_tokens: 5 } });
    expect(texts(text.content)).toEqual(['x'.repeat(20)]);
    const lines = please({ call: 'bash', input: { command: 'y'.repeat(100) } });
    const tool = await client.messages.create(ask(lines, { max_tokens: 5, tools: [bash] }));
    expect(tool).toMatchObject({ stop_reason: 'max_tokens', content: [{ type: 'tool_use', input: {} }] });
    const none = await client.messages.create(ask(please({ say: 'hi' }), { max_tokens: 0 }));
    expect(none).toMatchObject({ stop_reason: 'max_tokens', content: [] });
  });

  it('stops at a stop sequence', async () => {
    const { client } = setUp();
    const answer = await client.messages.create(
      ask(please({ say: 'one END two' }), { stop_sequences: ['END'] }),
    );
    expect(answer).toMatchObject({ stop_reason: 'stop_sequence', stop_sequence: 'END' });
    expect(texts(answer.content)).toEqual(['one ']);
  });

  it('obeys tool_choice', async () => {
    const { client } = setUp();
    const plain = ask('Grade it.', { tools: [bash, read] });
    const forced = await client.messages.create({ ...plain, tool_choice: { type: 'tool', name: 'read' } });
    expect(forced.content.at(-1)).toMatchObject({ type: 'tool_use', name: 'read' });
    const calls = please({ calls: [{ call: 'bash' }, { call: 'read' }] });
    const single = await client.messages.create(
      ask(calls, { tools: [bash, read], tool_choice: { type: 'auto', disable_parallel_tool_use: true } }),
    );
    expect(single.content).toHaveLength(1);
    const none = await client.messages.create(
      ask(calls, { tools: [bash, read], tool_choice: { type: 'none' } }),
    );
    expect(none.stop_reason).toBe('end_turn');
  });

  it('calls a tool that is not offered only where the script insists', async () => {
    const { client } = setUp();
    const params = (line: object) => ask(please(line), { tools: [bash] });
    await expect(client.messages.create(params({ call: 'rm' }))).rejects.toThrow(
      /calls `rm`.*only offers bash/,
    );
    const insisted = await client.messages.create(params({ call: 'rm', unoffered: true }));
    expect(insisted.content[0]).toMatchObject({ name: 'rm' });
  });

  it.each([
    ['{"say": }', /line 2: not valid JSON/],
    ['{"tell": "x"}', /line 2: expected one of say/],
    ['{"say": " "}', /line 2: say: needs some text/],
    ['{"say": "a", "loud": true}', /line 2: .*loud/],
    ['{"stop": "tool_use"}', /line 2: stop: /],
    ['{"fail": 200}', /line 2: fail: /],
  ])('names the line of a script that makes no sense: %s', async (line, message) => {
    const { client } = setUp();
    const text = `\`\`\`drover\n# a comment\n${line}\n\`\`\``;
    await expect(client.messages.create(ask(text))).rejects.toThrow(message);
  });

  it('says so where the block is never closed', async () => {
    const { client } = setUp();
    await expect(client.messages.create(ask('```drover\n{"say": "x"}'))).rejects.toThrow(
      /closing ``` is missing/,
    );
  });

  it('answers every script of a well-behaved harness: what it says is always legal to send back', async () => {
    const requests = createRequestLog(100);
    const { client } = setUp({ requests });
    const word = fc.constantFrom('a', 'Hello there.', 'x'.repeat(60), '{{result}}', '🐂🐂');
    const call = fc.record({
      call: fc.constantFrom('bash', 'read'),
      input: fc.dictionary(fc.string(), fc.jsonValue()),
    });
    const line = fc.oneof(
      fc.record({ say: word }),
      fc.record({ think: word }),
      call,
      fc.record({ calls: fc.array(call, { minLength: 1, maxLength: 3 }) }),
      fc.record({ stop: fc.constantFrom('end_turn', 'max_tokens', 'refusal') }),
      fc.record({ replay: fc.constantFrom('text', 'thinking-two-tools', 'refusal') }),
    );
    const thinking = fc.constantFrom(
      { type: 'disabled' as const },
      { type: 'adaptive' as const },
      { type: 'enabled' as const, budget_tokens: 1024 },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 7 }), thinking, async (lines, thinking) => {
        // A recording thinks, or not, whatever the request asks for.
        fc.pre(thinking.type !== 'enabled' || !lines.some((one) => 'replay' in one));
        let messages: MessageParam[] = [{ role: 'user', content: please(...lines) }];
        for (let turn = 0; turn < 3; turn++) {
          const run = await runTurn(client, { ...ask(''), messages, tools: [bash, read], thinking });
          messages = [...run.messages, { role: 'user', content: 'next' }];
        }
      }),
      { numRuns: 60 },
    );
    expect(requests.list().filter(({ status }) => status !== 200)).toEqual([]);
  });
});

describe('recordings', () => {
  it.each([
    ['text', 'end_turn', [{ type: 'text', text: expect.stringMatching(/^A drover walks .* shape\. 🐂$/) }]],
    [
      'thinking-two-tools',
      'tool_use',
      [
        { type: 'thinking', thinking: expect.stringMatching(/^The listing .* at once\.$/) },
        { type: 'text', text: "I'll look at the folder and the notes." },
        { type: 'tool_use', name: 'bash', input: { command: 'ls -1' } },
        { type: 'tool_use', name: 'read', input: { file_path: 'notes.txt' } },
      ],
    ],
    ['refusal', 'refusal', [{ type: 'text', text: 'I can explain how' }]],
  ])('%s: is a stream as the client knows it', async (replay, stopReason, content) => {
    const { client } = setUp();
    const params = ask(please({ replay }));
    const streamed = await client.messages.stream(params).finalMessage();
    const whole = await client.messages.create(params);
    expect(streamed.content).toEqual(whole.content);
    expect(whole.usage).toEqual(streamed.usage);
    expect(whole).toMatchObject({ stop_reason: stopReason, content });
  });

  it('replays tools twice in one conversation without using an id twice', async () => {
    const { client } = setUp();
    const replay = { replay: 'thinking-two-tools' };
    const { answers } = await runTurn(
      client,
      ask(please(replay, replay, { say: 'done' }), { tools: [bash, read] }),
    );
    expect(answers).toHaveLength(3);
  });

  it('is refused where it does not exist', async () => {
    const { client } = setUp();
    await expect(client.messages.create(ask(please({ replay: 'nope' })))).rejects.toThrow(
      /no recording named/,
    );
    await expect(client.messages.create(ask(please({ replay: '../x' })))).rejects.toThrow(/line 1: replay/);
    const bare = setUp({ recordingsDir: undefined });
    await expect(bare.client.messages.create(ask(please({ replay: 'text' })))).rejects.toThrow(
      /without recordings/,
    );
  });

  it('holds only thinking that this model would take back', async () => {
    for (const name of await readdir(recordingsDir)) {
      const events = parseStream(await readFile(`${recordingsDir}/${name}`, 'utf8'));
      const deltas = events.flatMap((event) => (event.type === 'content_block_delta' ? [event.delta] : []));
      const thought = deltas.map((delta) => (delta.type === 'thinking_delta' ? delta.thinking : '')).join('');
      const signed = deltas.filter((delta) => delta.type === 'signature_delta');
      expect(signed.every(({ signature }) => isSignatureOf(thought, signature))).toBe(true);
    }
  });
});

describe('failures', () => {
  it('fails over HTTP in the envelope of the wire', async () => {
    const { client } = setUp();
    const failure = client.messages.create(ask(please({ fail: 429, retryAfter: 1.5, shouldRetry: false })));
    const error = await failure.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RateLimitError);
    const { headers, status, requestID, type } = error as InstanceType<typeof RateLimitError>;
    expect({ status, type }).toEqual({ status: 429, type: 'rate_limit_error' });
    expect(headers.get('retry-after')).toBe('1.5');
    expect(headers.get('x-should-retry')).toBe('false');
    expect(requestID).toBe((error as { error: { request_id: string } }).error.request_id);
  });

  it.each([
    [400, 'invalid_request_error'],
    [401, 'authentication_error'],
    [500, 'api_error'],
    [529, 'overloaded_error'],
  ])('knows the kind of a %i', async (fail, type) => {
    const { client } = setUp();
    await expect(client.messages.create(ask(please({ fail })))).rejects.toMatchObject({ status: fail, type });
  });

  it('fails as often as it is told and then answers, one kind of failure after the other', async () => {
    const { client } = setUp();
    const params = ask(please({ fail: 529, times: 2 }, { fail: 500, times: 1 }, { say: 'at last' }));
    const outcomes: unknown[] = [];
    for (let i = 0; i < 5; i++) {
      const outcome = await client.messages.create(params).catch((error: { status: number }) => error.status);
      outcomes.push(typeof outcome === 'number' ? outcome : texts(outcome.content));
    }
    expect(outcomes).toEqual([529, 529, 500, ['at last'], ['at last']]);
  });

  it('keeps conversations apart when it counts, by content or by the id in the script', async () => {
    const { client } = setUp();
    const status = (params: MessageCreateParamsNonStreaming) =>
      client.messages.create(params).then(
        () => 200,
        (error: { status: number }) => error.status,
      );
    const line = { fail: 529, times: 1 };
    expect(await status(ask(please(line, { say: 'a' })))).toBe(529);
    expect(await status(ask(please(line, { say: 'b' })))).toBe(529);
    const first = ask(please({ ...line, id: 'one' }, { say: 'c' }));
    const second = ask(please({ ...line, id: 'two' }, { say: 'c' }));
    expect([await status(first), await status(second)]).toEqual([529, 529]);
    expect(await status({ ...first, system: 'other words, same id' })).toBe(200);
  });

  it('breaks into a stream with an error frame, after as many deltas as it is told', async () => {
    const { client } = setUp();
    const params = ask(please({ say: 'x'.repeat(24 * 6) }, { fail: 'error', after: 2 }));
    const seen: string[] = [];
    const stream = client.messages.stream(params).on('text', (text) => seen.push(text));
    await expect(stream.finalMessage()).rejects.toMatchObject({ type: 'overloaded_error' });
    expect(seen.join('')).toBe('x'.repeat(48));
    await expect(client.messages.create(params)).rejects.toMatchObject({ status: 529 });
  });

  it('cuts a stream half way, without a word', async () => {
    const { client } = setUp();
    const seen: string[] = [];
    const params = ask(please({ say: 'x'.repeat(24 * 6) }, { fail: 'cut' }));
    const stream = client.messages.stream(params).on('text', (text) => seen.push(text));
    await expect(stream.finalMessage()).rejects.toThrow(/terminated/);
    expect(seen.join('')).toBe('x'.repeat(24 * 3));
  });
});

describe('the other routes', () => {
  it('counts tokens without asking for max_tokens', async () => {
    const { client } = setUp();
    const { input_tokens } = await client.messages.countTokens({
      model: 'claude-opus-5-5',
      system: 's'.repeat(40),
      messages: [{ role: 'user', content: 'u'.repeat(41) }],
    });
    expect(input_tokens).toBe(10 + 11);
    const beta = await client.beta.messages.countTokens({
      model: 'claude-opus-5-5',
      messages: [{ role: 'user', content: 'u' }],
    });
    expect(beta.context_management).toBeNull();
  });

  it('lists models page by page, and finds one', async () => {
    const { client } = setUp();
    const ids: string[] = [];
    for await (const model of client.models.list({ limit: 3 })) {
      expect(model.display_name).toMatch(/\(scripted\)$/);
      ids.push(model.id);
    }
    expect(new Set(ids).size).toBe(7);
    const before: string[] = [];
    for await (const { id } of client.models.list({ limit: 3, before_id: ids[5]! })) before.push(id);
    expect(before).toEqual([ids[2], ids[3], ids[4], ids[0], ids[1]]);
    expect(await client.models.retrieve(ids[0]!)).toMatchObject({ type: 'model', lifecycle: 'active' });
    await expect(client.models.retrieve('gpt')).rejects.toMatchObject({
      status: 404,
      type: 'not_found_error',
    });
  });

  it('shows what it received, refused requests too, but no credential', async () => {
    const { app, client } = setUp({ keepRequests: 3 });
    for (const word of ['first', 'second', 'third']) await client.messages.create(ask(word));
    await expect(client.messages.create({ ...ask('fourth'), max_tokens: -1 })).rejects.toThrow(/max_tokens/);
    const list = async (query: string) => (await app.request(`/x/requests${query}`)).json();
    const { data } = (await list('')) as { data: { body: { messages: { content: string }[] } }[] };
    expect(data.map(({ body }) => body.messages[0]?.content)).toEqual(['second', 'third', 'fourth']);
    expect(await list('?contains=fourth')).toMatchObject({
      data: [
        { method: 'POST', path: '/v1/messages', status: 400, error: expect.stringContaining('max_tokens') },
      ],
    });
    expect(JSON.stringify(data)).not.toContain('unused');
    expect((await app.request('/x/requests', { method: 'DELETE' })).status).toBe(204);
    expect(await list('')).toEqual({ data: [] });
  });

  it('answers unknown paths and bodies that are no JSON in the envelope', async () => {
    const { app } = setUp();
    const unknown = await app.request('/v1/nothing');
    expect(unknown.status).toBe(404);
    expect(await unknown.json()).toMatchObject({ type: 'error', error: { type: 'not_found_error' } });
    const headers = { 'anthropic-version': '2026-10-21' };
    const bad = await app.request('/v1/messages', { method: 'POST', headers, body: '{' });
    expect(bad.status).toBe(400);
    expect(bad.headers.get('request-id')).toBe(((await bad.json()) as { request_id: string }).request_id);
    expect((await app.request('/healthz')).status).toBe(200);
  });
});
