/** The brain against the scripted model, over real HTTP on this machine; where that is too polite, a server by hand. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { InterruptedError, type Brain } from '../../src/brain.ts';
import { createClaudeBrain } from '../../src/brain/claude.ts';
import { NO_USAGE, type Draft, type Entry, type ModelOutcome } from '../../src/log.ts';
import { script } from '../../src/model/directives.ts';
import { serveModel, type ServedModel } from '../../src/model/serve.ts';
import type { EventBody, Preview } from '../../src/wire/event.ts';
import { AGENT, created, entriesOf, type Carrier } from '../support/conversation.ts';
import { eventually } from '../support/eventually.ts';

let model: ServedModel;
let brain: Brain;
let ids = 0;
const newId = (): string => `sevt_${(ids += 1)}`;

beforeAll(async () => {
  model = await serveModel();
  brain = createClaudeBrain({ baseUrl: model.url, tokenFor: async () => 'token' });
});

beforeEach(() => {
  model.requests.clear();
});

afterAll(() => model.close());

/** A message that tells the model what to do, so far as the log of a session that has just begun to think. */
function scripted(...lines: object[]): Carrier[] {
  return [
    { drafts: [created(AGENT)], author: 'server' },
    {
      drafts: [
        { event: { id: 'm', type: 'user.message', content: [{ type: 'text', text: script(...lines) }] } },
      ],
      author: 'client',
    },
    {
      drafts: [{ processed: 'm' }, { event: { id: 'span', type: 'span.model_request_start' } }],
      author: 'server',
    },
  ];
}

interface Thinking {
  readonly previews: Preview[];
  readonly controller: AbortController;
  readonly drafts: Promise<readonly Draft[]>;
}

function begin(
  carriers: readonly Carrier[],
  with_: Brain = brain,
  entries: readonly Entry[] = entriesOf(carriers),
): Thinking {
  const previews: Preview[] = [];
  const controller = new AbortController();
  const drafts = with_.think({
    sessionId: 'sesn_1',
    spanId: 'span',
    entries,
    attempt: 1,
    leftMicrocents: null,
    newId,
    preview: (frame) => previews.push(frame),
    signal: controller.signal,
  });
  return { previews, controller, drafts };
}

async function think(...lines: object[]): Promise<{ drafts: readonly Draft[]; previews: Preview[] }> {
  const { drafts, previews } = begin(scripted(...lines));
  return { drafts: await drafts, previews };
}

function eventsOf(drafts: readonly Draft[]): EventBody[] {
  return drafts.map((draft) => ('event' in draft ? (draft.event as EventBody) : (undefined as never)));
}

function typesOf(drafts: readonly Draft[]): string[] {
  return eventsOf(drafts).map(({ type }) => type);
}

function outcomeOf(drafts: readonly Draft[]): ModelOutcome | undefined {
  const last = drafts.at(-1);
  return last && 'event' in last ? last.extra?.outcome : undefined;
}

describe('an answer', () => {
  test('of text is one message and the end of the span', async () => {
    const { drafts } = await think({ say: 'Hello ' }, { say: 'there.' });
    expect(drafts).toEqual([
      {
        event: {
          id: expect.any(String),
          type: 'agent.message',
          content: [
            { type: 'text', text: 'Hello' },
            { type: 'text', text: 'there.' },
          ],
        },
        extra: { blocks: [0, 1] },
      },
      {
        event: {
          id: expect.any(String),
          type: 'span.model_request_end',
          model_request_start_id: 'span',
          is_error: false,
          model_usage: {
            input_tokens: expect.any(Number),
            output_tokens: expect.any(Number),
            cache_creation_input_tokens: expect.any(Number),
            cache_read_input_tokens: expect.any(Number),
          },
        },
        extra: { outcome: { stop: 'end_turn' } },
      },
    ]);
    const end = eventsOf(drafts).at(-1);
    expect(end?.type === 'span.model_request_end' && end.model_usage.output_tokens).toBeGreaterThan(0);
  });

  test('has events of their own ids, thinking first, then the text, then the calls', async () => {
    const bash = { call: 'bash', input: { command: 'ls' } };
    const { drafts } = await think(
      { think: 'Look.' },
      { say: 'I look.' },
      { think: 'And ask.' },
      { calls: [bash, { call: 'ask_user', input: { what: 'name' } }] },
    );
    const made = eventsOf(drafts);
    expect(typesOf(drafts)).toEqual([
      'agent.thinking',
      'agent.thinking',
      'agent.message',
      'agent.tool_use',
      'agent.custom_tool_use',
      'span.model_request_end',
    ]);
    expect(new Set(made.map(({ id }) => id)).size).toBe(made.length);
    expect(made[0]).toEqual({ id: expect.any(String), type: 'agent.thinking' });
    expect(made[3]).toMatchObject({
      name: 'bash',
      input: { command: 'ls' },
      evaluated_permission: 'allow',
      evaluation: { type: 'always_allow' },
    });
    expect(made[4]).toEqual({
      id: expect.any(String),
      type: 'agent.custom_tool_use',
      name: 'ask_user',
      input: { what: 'name' },
    });
    expect(drafts.map((draft) => ('event' in draft ? draft.extra?.blocks : undefined))).toEqual([
      [0],
      [2],
      [1],
      [3],
      [4],
      undefined,
    ]);
    expect(outcomeOf(drafts)).toEqual({ stop: 'tool_use' });
  });

  test('is taken back by the model at the next request, signatures and all', async () => {
    const lines = [
      { think: 'Look.' },
      { say: 'I look.' },
      {
        calls: [
          { call: 'bash', input: { command: 'ls' } },
          { call: 'bash', input: { command: 'pwd' } },
        ],
      },
      { think: 'Seen.' },
      { say: 'The tools said: {{results}}' },
    ];
    const carriers = scripted(...lines);
    const first = await begin(carriers).drafts;
    const uses = eventsOf(first).filter(({ type }) => type === 'agent.tool_use');
    const results = uses.map(({ id }, at): Draft => ({
      event: {
        id: newId(),
        type: 'agent.tool_result',
        tool_use_id: id,
        content: [{ type: 'text', text: `result ${at}` }],
      },
    }));
    const second = await begin([
      ...carriers,
      { drafts: first, author: 'server' },
      { drafts: results.toReversed(), author: 'server' },
      { drafts: [{ event: { id: 'span2', type: 'span.model_request_start' } }], author: 'server' },
    ]).drafts;
    expect(outcomeOf(second)).toEqual({ stop: 'end_turn' });
    expect(eventsOf(second).find(({ type }) => type === 'agent.message')).toMatchObject({
      content: [{ text: 'The tools said: result 0\nresult 1' }],
    });
    const end = eventsOf(second).at(-1);
    expect(end?.type === 'span.model_request_end' && end.model_usage.cache_read_input_tokens).toBeGreaterThan(
      0,
    );
  });

  test('calls what it may not: the call is told apart', async () => {
    const { drafts } = await think({ call: 'web_search', input: { q: 'x' }, unoffered: true });
    const [use] = eventsOf(drafts);
    expect(use).toEqual({
      id: expect.any(String),
      type: 'agent.tool_use',
      name: 'web_search',
      input: { q: 'x' },
      evaluated_permission: 'deny',
    });
  });

  test('may ask to be asked again', async () => {
    const { drafts } = await think({ say: 'One moment.' }, { stop: 'pause_turn' });
    expect(outcomeOf(drafts)).toEqual({ stop: 'pause_turn' });
  });

  test('may be empty', async () => {
    const { drafts } = await think({ stop: 'end_turn' });
    expect(typesOf(drafts)).toEqual(['span.model_request_end']);
    expect(outcomeOf(drafts)).toEqual({ stop: 'end_turn' });
  });
});

describe('previews', () => {
  test('open what is coming under the ids that it will have, and never differ from it', async () => {
    const { drafts, previews } = await think(
      { think: 'Hm.' },
      { say: 'The first block, in pieces.', chunkChars: 3 },
      { think: 'Hm again.' },
      { say: 'The second.', chunkChars: 2 },
      { call: 'bash', input: { command: 'ls' } },
    );
    const made = eventsOf(drafts);
    const [first, second, message] = made;
    const starts = previews.filter((frame) => frame.type === 'event_start').map(({ event }) => event);
    expect(starts).toEqual([
      { type: 'agent.thinking', id: first?.id },
      { type: 'agent.message', id: message?.id },
      { type: 'agent.thinking', id: second?.id },
    ]);
    const texts: string[] = [];
    let open = false;
    for (const frame of previews) {
      if (frame.type === 'event_start') {
        open ||= frame.event.type === 'agent.message';
        continue;
      }
      expect(open).toBe(true);
      expect(frame.event_id).toBe(message?.id);
      const { index, content } = frame.delta;
      expect(index).toBeLessThanOrEqual(texts.length);
      texts[index] = (texts[index] ?? '') + content.text;
    }
    expect(message).toMatchObject({ content: texts.map((text) => ({ type: 'text', text })) });
    expect(previews.length).toBeGreaterThan(10);
  });

  test('come while the model is still speaking', async () => {
    const { previews, controller, drafts } = begin(
      scripted({ say: 'Begun.' }, { delayMs: 600_000 }, { say: 'Never said.' }),
    );
    await eventually(() => expect(previews.length).toBeGreaterThan(0));
    controller.abort(new InterruptedError('stop'));
    await drafts;
  });
});

describe('an abort', () => {
  const waiting = () =>
    begin(scripted({ think: 'Hm.' }, { say: 'Half' }, { delayMs: 600_000 }, { call: 'bash', input: {} }));

  test('by the user drops what was there; the span shows no tokens, the bill does', async () => {
    const { previews, controller, drafts } = waiting();
    await eventually(() => expect(previews.some(({ type }) => type === 'event_delta')).toBe(true));
    controller.abort(new InterruptedError('stop'));
    expect(await drafts).toEqual([
      {
        event: {
          id: expect.any(String),
          type: 'span.model_request_end',
          model_request_start_id: 'span',
          is_error: false,
          model_usage: NO_USAGE,
        },
        extra: {
          outcome: { stop: 'interrupted' },
          charges: [
            {
              model: 'claude-opus-4-8',
              usage: expect.objectContaining({ output_tokens: expect.any(Number) }),
            },
          ],
        },
      },
    ]);
  });

  test('by the user before anything was sent is the same', async () => {
    const controller = new AbortController();
    controller.abort(new InterruptedError('stop'));
    const entries = entriesOf(scripted({ say: 'Never.' }));
    const preview = (): void => undefined;
    const drafts = await brain.think({
      sessionId: 's',
      spanId: 'span',
      entries,
      attempt: 1,
      leftMicrocents: null,
      newId,
      preview,
      signal: controller.signal,
    });
    expect(outcomeOf(drafts)).toEqual({ stop: 'interrupted' });
    expect(model.requests.list()).toEqual([]);
  });

  test('for another reason is no answer at all', async () => {
    const { previews, controller, drafts } = waiting();
    const settled = Promise.allSettled([drafts]);
    await eventually(() => expect(previews.length).toBeGreaterThan(0));
    controller.abort(new Error('the worker shuts down'));
    expect(await settled).toMatchObject([
      { status: 'rejected', reason: { message: 'the worker shuts down' } },
    ]);
  });
});

describe('a failure', () => {
  test.each([
    [
      { fail: 429, retryAfter: 3 },
      { kind: 'model_rate_limited_error', retryable: true, retryAfterMs: 3000 },
    ],
    [{ fail: 529 }, { kind: 'model_overloaded_error', retryable: true }],
    [{ fail: 500 }, { kind: 'model_request_failed_error', retryable: true }],
    [
      { fail: 500, shouldRetry: false },
      { kind: 'model_request_failed_error', retryable: false },
    ],
    [
      { fail: 400, message: 'prompt is too long' },
      { kind: 'model_request_failed_error', retryable: false, message: 'prompt is too long' },
    ],
    [{ fail: 402 }, { kind: 'billing_error', retryable: false }],
    [{ fail: 'drop' }, { kind: 'model_request_failed_error', retryable: true }],
    [{ fail: 'cut' }, { kind: 'model_request_failed_error', retryable: true }],
    [
      { fail: 'cut', after: 0 },
      { kind: 'model_request_failed_error', retryable: true },
    ],
    [{ fail: 'error' }, { kind: 'model_overloaded_error', retryable: true }],
    [
      { fail: 'error', type: 'rate_limit_error', after: 1 },
      { kind: 'model_rate_limited_error', retryable: true },
    ],
  ] as const)('%j ends the span, with nothing in it', async (line, failure) => {
    const { drafts } = await think(line, { say: 'Some words that come in a few pieces.', chunkChars: 4 });
    expect(drafts).toHaveLength(1);
    expect(eventsOf(drafts)[0]).toMatchObject({
      type: 'span.model_request_end',
      model_request_start_id: 'span',
      is_error: true,
      model_usage: NO_USAGE,
    });
    expect(outcomeOf(drafts)).toMatchObject({ stop: 'failed', failure });
  });

  test('is not tried again here: the loop is the only one that retries', async () => {
    await think({ fail: 529 });
    expect(model.requests.list()).toHaveLength(1);
  });

  test('leaves ids that no later attempt uses', async () => {
    const cut = begin(
      scripted({ fail: 'cut', times: 1 }, { say: 'Some words that come in a few pieces.', chunkChars: 4 }),
    );
    await cut.drafts;
    const again = begin(
      scripted({ fail: 'cut', times: 1 }, { say: 'Some words that come in a few pieces.', chunkChars: 4 }),
    );
    await again.drafts;
    const idsOf = ({ previews }: Thinking) =>
      previews.flatMap((frame) => (frame.type === 'event_start' ? [frame.event.id] : []));
    expect(idsOf(cut)).toHaveLength(1);
    expect(idsOf(again)).toHaveLength(1);
    expect(idsOf(again)).not.toEqual(idsOf(cut));
  });

  test('of the token is one of the request', async () => {
    const broken = createClaudeBrain({
      baseUrl: model.url,
      tokenFor: () => Promise.reject(new Error('no token')),
    });
    expect(outcomeOf(await begin(scripted({ say: 'Hi.' }), broken).drafts)).toMatchObject({
      stop: 'failed',
      failure: { message: 'no token', retryable: true },
    });
  });

  test('to reach the proxy is one of the request', async () => {
    const gone = await serveModel();
    await gone.close();
    const lost = createClaudeBrain({ baseUrl: gone.url, tokenFor: async () => 'token' });
    expect(outcomeOf(await begin(scripted({ say: 'Hi.' }), lost).drafts)).toMatchObject({
      stop: 'failed',
      failure: { kind: 'model_request_failed_error', retryable: true },
    });
  });

  test('of the caller is thrown: there is nothing to ask', async () => {
    const { drafts } = begin([{ drafts: [created()], author: 'server' }]);
    await expect(drafts).rejects.toThrow('without any message');
  });
});

describe('an answer that was ended', () => {
  test('by its length loses the call that may be half there, and keeps the others', async () => {
    const bash = (command: string) => ({ call: 'bash', input: { command } });
    const { drafts } = await think({ say: 'Go.' }, { calls: [bash('one'), bash('two')], stop: 'max_tokens' });
    expect(typesOf(drafts)).toEqual(['agent.message', 'agent.tool_use', 'span.model_request_end']);
    expect(eventsOf(drafts)[1]).toMatchObject({ input: { command: 'one' } });
    expect(outcomeOf(drafts)).toEqual({ stop: 'max_tokens' });
  });

  test('in the middle of a long call', async () => {
    const { drafts } = await think({
      call: 'write',
      input: { path: 'a', content: 'x '.repeat(80_000) },
      chunkChars: 50_000,
    });
    expect(typesOf(drafts)).toEqual(['span.model_request_end']);
    expect(outcomeOf(drafts)).toEqual({ stop: 'max_tokens' });
  });

  test('in the middle of a text keeps the text', async () => {
    const { drafts } = await think({ say: 'Half a sen' }, { stop: 'max_tokens' });
    expect(typesOf(drafts)).toEqual(['agent.message', 'span.model_request_end']);
    expect(outcomeOf(drafts)).toEqual({ stop: 'max_tokens' });
  });

  test('by a refusal says why', async () => {
    const { drafts } = await think({ say: 'I' }, { stop: 'refusal', category: 'cyber', explanation: 'No.' });
    expect(outcomeOf(drafts)).toEqual({
      stop: 'refusal',
      details: { type: 'refusal', category: 'cyber', explanation: 'No.' },
    });
    const bare = await think({ stop: 'refusal' });
    expect(outcomeOf(bare.drafts)).toEqual({
      stop: 'refusal',
      details: { type: 'refusal', category: null, explanation: null },
    });
  });

  test('by a refusal runs no tool', async () => {
    const { drafts } = await think({ say: 'I' }, { call: 'bash', input: { command: 'ls' }, stop: 'refusal' });
    expect(typesOf(drafts)).toEqual(['agent.message', 'span.model_request_end']);
    expect(outcomeOf(drafts)?.stop).toBe('refusal');
  });
});

describe('over the wire', () => {
  let close: (() => Promise<void>) | undefined;

  afterEach(async () => {
    await close?.();
    close = undefined;
  });

  async function serve(
    answer: (request: IncomingMessage, response: ServerResponse) => void,
    silenceMs?: number,
  ) {
    const server = createServer((request, response) => {
      request.resume();
      request.on('end', () => answer(request, response));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    close = async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    };
    const baseUrl = `http://127.0.0.1:${address.port}`;
    return createClaudeBrain({
      baseUrl,
      tokenFor: async (sessionId) => `token of ${sessionId}`,
      ...(silenceMs === undefined ? {} : { silenceMs }),
    });
  }

  const frame = (data: { type: string }): string => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
  const OPENING =
    frame({
      type: 'message_start',
      message: {
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        model: 'm',
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { input_tokens: 3, output_tokens: 1 },
      },
    } as { type: string }) +
    frame({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } } as {
      type: string;
    }) +
    frame({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hi.' } } as {
      type: string;
    });
  const CLOSING =
    frame({ type: 'content_block_stop', index: 0 } as { type: string }) +
    frame({
      type: 'message_delta',
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { output_tokens: 9 },
    } as { type: string }) +
    frame({ type: 'message_stop' });
  const STREAM = { 'content-type': 'text/event-stream' };

  test("the session's token goes along, and nothing that looks like a key", async () => {
    let headers: IncomingMessage['headers'] = {};
    const plain = await serve((request, response) => {
      headers = request.headers;
      response.writeHead(200, STREAM).end(OPENING + CLOSING);
    });
    const drafts = await begin(scripted({ say: 'Hi.' }), plain).drafts;
    expect(headers.authorization).toBe('Bearer token of sesn_1');
    expect(headers['x-api-key'] ?? 'by-proxy').toBe('by-proxy');
    expect(eventsOf(drafts)[0]).toMatchObject({ content: [{ type: 'text', text: 'Hi.' }] });
    expect(eventsOf(drafts)[1]).toMatchObject({
      model_usage: {
        input_tokens: 3,
        output_tokens: 9,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
      },
    });
  });

  test('a stream that just stops is no answer', async () => {
    for (const text of ['', OPENING, OPENING + CLOSING.slice(0, -40)]) {
      const cut = await serve((_, response) => response.writeHead(200, STREAM).end(text));
      const drafts = await begin(scripted({ say: 'Hi.' }), cut).drafts;
      expect(typesOf(drafts)).toEqual(['span.model_request_end']);
      expect(outcomeOf(drafts)).toMatchObject({ stop: 'failed', failure: { retryable: true } });
      await close?.();
    }
    close = undefined;
  });

  test.each(['before the answer', 'in the middle'])('silence %s is given up', async (when) => {
    const silent = await serve((_, response) => {
      if (when === 'in the middle') response.writeHead(200, STREAM).write(OPENING);
    }, 60);
    expect(outcomeOf(await begin(scripted({ say: 'Hi.' }), silent).drafts)).toEqual({
      stop: 'failed',
      failure: {
        kind: 'model_request_failed_error',
        retryable: true,
        message: 'The model was silent for 0.06 seconds.',
      },
    });
  });

  test('pings are no silence', async () => {
    const silenceMs = 800;
    const thinking = await serve((_, response) => {
      response.writeHead(200, STREAM).write(OPENING);
      let pings = 0;
      const timer = setInterval(() => {
        response.write(frame({ type: 'ping' }));
        if ((pings += 1) * 50 < silenceMs * 1.5) return;
        clearInterval(timer);
        response.end(CLOSING);
      }, 50);
      response.on('close', () => clearInterval(timer));
    }, silenceMs);
    expect(outcomeOf(await begin(scripted({ say: 'Hi.' }), thinking).drafts)).toEqual({ stop: 'end_turn' });
  });
});

describe('a request that is made again after its worker died', () => {
  const budget = async (attempt: number, leftMicrocents: number | null) =>
    brain.think({
      sessionId: 's',
      spanId: 'span',
      entries: entriesOf(scripted({ say: 'Hello.' })),
      attempt,
      leftMicrocents,
      newId,
      preview: () => undefined,
      signal: new AbortController().signal,
    });
  const chargesOf = (drafts: readonly Draft[]) => {
    const last = drafts.at(-1);
    return last && 'event' in last ? (last.extra?.charges ?? []) : [];
  };

  test('is charged with what the lost attempts may have cost', async () => {
    expect(chargesOf(await budget(1, null))).toEqual([]);
    const [once] = chargesOf(await budget(2, null));
    const [twice] = chargesOf(await budget(3, null));
    expect(once?.usage.input_tokens).toBeGreaterThan(100);
    expect(once?.usage.output_tokens).toBeGreaterThan(0);
    expect(twice?.usage.input_tokens).toBe(2 * (once?.usage.input_tokens ?? 0));
  });

  test('is not sent when those have spent what is left of the budget', async () => {
    const drafts = await budget(2, 1);
    expect(outcomeOf(drafts)).toEqual({ stop: 'unaffordable' });
    expect(chargesOf(drafts)).toHaveLength(1);
    expect(model.requests.list()).toEqual([]);
    expect(outcomeOf(await budget(1, 1))).toEqual({ stop: 'end_turn' });
    expect(outcomeOf(await budget(2, 1e12))).toEqual({ stop: 'end_turn' });
  });
});

test('an answer that breaks off is charged with what had come of it', async () => {
  const { drafts } = await think({ fail: 'cut', after: 3 }, { say: 'A text of some length.', chunkChars: 4 });
  const last = drafts.at(-1);
  const charges = last && 'event' in last ? last.extra?.charges : undefined;
  expect(charges).toEqual([
    { model: 'claude-opus-4-8', usage: expect.objectContaining({ output_tokens: 3 }) },
  ]);
});

describe('a request for a summary', () => {
  const compact = (...lines: object[]) => {
    const [created_, said_] = scripted(...lines);
    if (!created_ || !said_) throw new Error('no script');
    const answered: Carrier = {
      drafts: [
        { processed: 'm' },
        { event: { id: 's0', type: 'span.model_request_start' } },
        {
          event: { id: 'a0', type: 'agent.message', content: [{ type: 'text', text: 'Hi.' }] },
          extra: { blocks: [0] },
        },
        {
          event: {
            id: 'e0',
            type: 'span.model_request_end',
            model_request_start_id: 's0',
            is_error: false,
            model_usage: NO_USAGE,
          },
          extra: { outcome: { stop: 'end_turn' } },
        },
      ],
      author: 'server',
    };
    const order: Carrier = {
      drafts: [
        {
          event: { id: 'span', type: 'span.model_request_start' },
          extra: { compact: { trim: 0, keepAnswers: 0, requests: [] } },
        },
      ],
      author: 'server',
    };
    return begin([created_, said_, answered, order]);
  };

  test('with nothing to sum up is done at once where it was only wished for, else it is final', async () => {
    const first = (requests: string[], trim: number) => {
      const [created_, said_] = scripted({ say: 'Hi.' });
      if (!created_ || !said_) throw new Error('no script');
      const order: Draft = {
        event: { id: 'span', type: 'span.model_request_start' },
        extra: { compact: { trim, keepAnswers: 1, requests } },
      };
      return begin([created_, said_, { drafts: [{ processed: 'm' }, order], author: 'server' }]).drafts;
    };
    expect(outcomeOf(await first(['wish'], 0))).toEqual({ stop: 'compacted' });
    expect(outcomeOf(await first([], 0))).toMatchObject({
      stop: 'failed',
      failure: { kind: 'compaction_limit_reached_error', retryable: false },
    });
    expect(outcomeOf(await first(['wish'], 1))).toMatchObject({ stop: 'failed' });
    expect(model.requests.list()).toEqual([]);
  });

  test('gives the event of a compaction, which shows nothing of the summary, and no preview', async () => {
    const { drafts, previews } = compact({ summary: 'All that was said.' });
    const [event, end] = await drafts;
    expect(event).toEqual({
      event: { id: expect.any(String), type: 'agent.thread_context_compacted' },
      extra: { compaction: { summary: expect.stringContaining('All that was said.'), through: 5 } },
    });
    expect(end && 'event' in end && end.extra?.outcome).toEqual({ stop: 'compacted' });
    expect(previews).toEqual([]);
  });
});
