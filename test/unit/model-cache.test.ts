import { beforeEach, describe, expect, it } from 'vitest';
import { createModelApp, type ModelOptions } from '../../src/model/app.ts';

const MINUTE_MS = 60_000;
const mark = { cache_control: { type: 'ephemeral' } };
const hour = { cache_control: { type: 'ephemeral', ttl: '1h' } };
/** A block of exactly so many tokens. */
const block = (tokens: number, name = 'x') => ({ type: 'text', text: name.repeat(tokens * 4) });
const user = (...content: object[]) => ({ role: 'user', content });

describe('the prompt cache', () => {
  let now: number;
  let app: ReturnType<typeof createModelApp>;

  function setUp(options: ModelOptions = {}) {
    now = 0;
    app = createModelApp({ now: () => now, ...options });
  }

  beforeEach(() => setUp());

  async function usage(messages: object[], more: object = {}) {
    const response = await app.request('/v1/messages', {
      method: 'POST',
      headers: { 'anthropic-version': '2026-10-21' },
      body: JSON.stringify({ model: 'm', max_tokens: 100, messages, ...more }),
    });
    expect(response.status).toBe(200);
    const { usage } = (await response.json()) as { usage: Record<string, unknown> };
    return {
      input: usage['input_tokens'],
      read: usage['cache_read_input_tokens'],
      written: usage['cache_creation_input_tokens'],
      by: usage['cache_creation'],
    };
  }

  it('does nothing without a breakpoint', async () => {
    for (let i = 0; i < 2; i++) {
      expect(await usage([user(block(10))])).toMatchObject({ input: 10, read: 0, written: 0 });
    }
  });

  it('writes up to the last breakpoint and reads it the next time', async () => {
    const messages = [user(block(10), { ...block(20), ...mark }, block(3))];
    expect(await usage(messages)).toMatchObject({ input: 3, read: 0, written: 30 });
    expect(await usage(messages)).toMatchObject({ input: 3, read: 30, written: 0 });
  });

  it('grows with a conversation whose breakpoint moves on', async () => {
    const first = user({ ...block(40), ...mark });
    expect(await usage([first], { system: [block(5)] })).toMatchObject({ input: 0, written: 45 });
    const moved = [
      user(block(40)),
      { role: 'assistant', content: [block(6)] },
      user({ ...block(7), ...mark }),
    ];
    expect(await usage(moved, { system: [block(5)] })).toMatchObject({ input: 0, read: 45, written: 13 });
  });

  it('is lost from the first change on: system, tools, order, model, tool choice for the messages', async () => {
    const system = [{ ...block(8), ...mark }];
    const tools = [{ name: 'bash', input_schema: { type: 'object' } }];
    const messages = [user({ ...block(9), ...mark })];
    const all = { system, tools };
    const first = await usage(messages, all);
    expect(await usage(messages, all)).toMatchObject({ read: first.written, written: 0 });
    expect(await usage(messages, { ...all, model: 'other' })).toMatchObject({ read: 0 });
    expect(await usage(messages, { system: [{ ...block(8, 'y'), ...mark }], tools })).toMatchObject({
      read: 0,
    });
    expect(await usage(messages, { system })).toMatchObject({ read: 0 });
    const choice = await usage(messages, { ...all, tool_choice: { type: 'none' } });
    expect(choice.written).toBe(9);
    expect(choice.read).toBe(Number(first.written) - 9);
  });

  it('looks back twenty blocks from a breakpoint, and no further', async () => {
    const seed = { ...block(1, 'a'), ...mark };
    await usage([user(seed)]);
    const more = (count: number) => Array.from({ length: count }, () => block(1, 'b'));
    const far = [user(block(1, 'a'), ...more(19), { ...block(1, 'c'), ...mark })];
    expect(await usage(far)).toMatchObject({ read: 0, written: 21 });
    const near = [user(block(1, 'a'), ...more(18), { ...block(1, 'd'), ...mark })];
    expect(await usage(near)).toMatchObject({ read: 1, written: 19 });
    const helped = [user(seed, ...more(30), { ...block(1, 'e'), ...mark })];
    expect(await usage(helped)).toMatchObject({ read: 1, written: 31 });
  });

  it('forgets after five minutes, unless it is used', async () => {
    const messages = [user({ ...block(10), ...mark })];
    await usage(messages);
    now += 4 * MINUTE_MS;
    expect(await usage(messages)).toMatchObject({ read: 10 });
    now += 4 * MINUTE_MS;
    expect(await usage(messages)).toMatchObject({ read: 10 });
    now += 5 * MINUTE_MS;
    expect(await usage(messages)).toMatchObject({ read: 0, written: 10 });
  });

  it('keeps an hour where it is told to, and counts it apart', async () => {
    const messages = [user({ ...block(10), ...hour }, { ...block(4), ...mark })];
    expect((await usage(messages)).by).toEqual({
      ephemeral_1h_input_tokens: 10,
      ephemeral_5m_input_tokens: 4,
    });
    now += 50 * MINUTE_MS;
    expect(await usage(messages)).toMatchObject({ read: 10, written: 4 });
  });

  it('marks the last block where the request asks for it as a whole', async () => {
    expect(await usage([user(block(10))], mark)).toMatchObject({ input: 0, written: 10 });
    expect(await usage([user(block(10))], mark)).toMatchObject({ input: 0, read: 10 });
  });

  it('can insist on a shortest prefix, as the real one does', async () => {
    setUp({ minCacheTokens: 11 });
    const messages = [user({ ...block(10), ...mark }, { ...block(5), ...mark })];
    expect(await usage(messages)).toMatchObject({ input: 0, written: 15 });
    expect(await usage([user({ ...block(10), ...mark })])).toMatchObject({ input: 10, read: 0, written: 0 });
  });

  it('is not written by a request that fails', async () => {
    const script = {
      type: 'text',
      text: '```drover\n{"fail": 529, "times": 1}\n{"say": "ok"}\n```',
      ...mark,
    };
    const body = JSON.stringify({ model: 'm', max_tokens: 100, messages: [user(script)] });
    const headers = { 'anthropic-version': '2026-10-21' };
    expect((await app.request('/v1/messages', { method: 'POST', headers, body })).status).toBe(529);
    expect(await usage([user(script)])).toMatchObject({ read: 0 });
  });
});
