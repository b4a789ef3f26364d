import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import Anthropic, { APIConnectionError } from '@anthropic-ai/sdk';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { script } from '../../src/model/directives.ts';
import { createHolds } from '../../src/model/holds.ts';
import { serveModel, type ServedModel } from '../../src/model/serve.ts';
import { toBody } from '../../src/model/stream.ts';

const models: ServedModel[] = [];
afterEach(async () => {
  for (const model of models.splice(0)) await model.close();
});

async function setUp() {
  const model = await serveModel();
  models.push(model);
  return { model, client: new Anthropic({ apiKey: 'unused', baseURL: model.url, maxRetries: 0 }) };
}

const ask = (...lines: object[]) => ({
  model: 'claude-opus-5-5',
  max_tokens: 4096,
  messages: [{ role: 'user' as const, content: script(...lines) }],
});

describe('over a socket', () => {
  it('a cut stream ends in the middle, after all that was said before', async () => {
    const { client } = await setUp();
    const heard: string[] = [];
    const stream = client.messages.stream(ask({ say: 'x'.repeat(240) }, { fail: 'cut', after: 4 }));
    stream.on('text', (text) => heard.push(text));
    await expect(stream.finalMessage()).rejects.toThrow(/terminated/);
    expect(heard.join('')).toBe('x'.repeat(96));
  });

  it('a cut stream sends the first part of its chunks, but never their end', async () => {
    const { model } = await setUp();
    const headers = { 'anthropic-version': '2026-10-21' };
    const request = httpRequest(`${model.url}/v1/messages`, { method: 'POST', headers });
    request.end(JSON.stringify({ ...ask({ say: 'hello' }, { fail: 'cut', after: 0 }), stream: true }));
    const [response] = await once(request, 'response');
    let text = '';
    response.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const [error] = await once(response, 'error');
    expect(error).toMatchObject({ code: 'ECONNRESET' });
    expect(text.match(/^event: \w+/gm)).toEqual(['event: message_start', 'event: ping']);
  });

  it('a dropped connection says nothing at all', async () => {
    const { client } = await setUp();
    const params = ask({ fail: 'drop', times: 2 }, { say: 'back' });
    await expect(client.messages.create(params)).rejects.toBeInstanceOf(APIConnectionError);
    await expect(client.messages.stream(params).finalMessage()).rejects.toThrow(/Connection error/);
    await expect(client.messages.create(params)).resolves.toMatchObject({ content: [{ text: 'back' }] });
  });

  it('words are sent as they are said, and a pause is a pause', async () => {
    const { client } = await setUp();
    const stream = client.messages.stream(ask({ say: 'first' }, { delayMs: 600_000 }, { say: 'never' }));
    const text = await new Promise<string>((resolve) => void stream.on('text', resolve));
    expect(text).toBe('first');
    stream.abort();
    await expect(stream.done()).rejects.toThrow(/abort/);
  });

  it('words behind a hold come once it is released, then and ever after', async () => {
    const { client, model } = await setUp();
    const heard: string[] = [];
    const params = ask({ say: 'first' }, { hold: 'here' }, { say: 'second' }, { hold: 'here' });
    const stream = client.messages.stream(params);
    stream.on('text', (text) => heard.push(text));
    const whole = client.messages.create(params);
    await vi.waitFor(() => expect(heard).toEqual(['first']));
    const released = await fetch(`${model.url}/x/release?hold=here`, { method: 'POST' });
    expect(released.status).toBe(204);
    await stream.done();
    expect(heard).toEqual(['first', 'second']);
    expect((await whole).content).toHaveLength(2);
    await client.messages.create(params);
  });

  it('slow words come one by one', async () => {
    const { client } = await setUp();
    const heard: string[] = [];
    const stream = client.messages.stream(ask({ say: 'abcdef', chunkChars: 2, chunkDelayMs: 1 }));
    stream.on('text', (text) => heard.push(text));
    await stream.done();
    expect(heard).toEqual(['ab', 'cd', 'ef']);
  });

  it('closing ends what is under way', async () => {
    const { model, client } = await setUp();
    const waiting = client.messages.create(ask({ delayMs: 600_000 }, { say: 'never' }));
    const outcome = waiting.catch((error: Error) => error);
    await vi.waitFor(() => expect(model.requests.list()).toHaveLength(1));
    await model.close();
    expect(await outcome).toBeInstanceOf(Error);
  });
});

describe('a body that nobody reads any more', () => {
  it('drops its pauses', async () => {
    const event = { type: 'ping' as const };
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const before = timers();
    const body = toBody(
      [
        { event, delayMs: 0 },
        { event, delayMs: 4000 },
      ],
      { isCut: false, cut: undefined },
    );
    const reader = body.getReader();
    await reader.read();
    const pending = reader.read();
    await vi.waitFor(() => expect(timers()).toBe(before + 1));
    await reader.cancel();
    expect(await pending).toEqual({ value: undefined, done: true });
    await vi.waitFor(() => expect(timers()).toBe(before));
  });

  it('waits at a hold, kept alive by pings, until that is released', async () => {
    const holds = createHolds();
    const body = toBody(
      [
        { event: { type: 'message_stop' }, delayMs: 0, holds: ['here'] },
        { event: { type: 'ping' }, delayMs: 0, holds: ['here'] },
      ],
      { isCut: false, cut: undefined, holds, pingEveryMs: 4 },
    );
    const text = new Response(body).text();
    await vi.waitFor(() => expect(holds.isReached('here')).toBe(true));
    await new Promise((resolve) => setTimeout(resolve, 20));
    holds.release('here');
    expect(await text).toMatch(/^(event: ping\n.+\n\n){2,}event: message_stop\n.+\n\nevent: ping\n.+\n\n$/);
  });

  it('leaves a hold when nobody reads any more', async () => {
    const holds = createHolds();
    const options = { isCut: false, cut: undefined, holds };
    const held = { event: { type: 'ping' as const }, delayMs: 0, holds: ['for ever'] };
    const reader = toBody([held], options).getReader();
    const pending = reader.read();
    await vi.waitFor(() => expect(holds.isReached('for ever')).toBe(true));
    await reader.cancel();
    expect(await pending).toEqual({ value: undefined, done: true });
  });

  it('is kept alive by pings in a long pause', async () => {
    const stop = { event: { type: 'message_stop' as const }, delayMs: 10 };
    const body = toBody([stop], { isCut: false, cut: undefined, pingEveryMs: 4 });
    const ping = 'event: ping\ndata: {"type":"ping"}\n\n';
    const end = 'event: message_stop\ndata: {"type":"message_stop"}\n\n';
    expect(await new Response(body).text()).toBe(ping + ping + end);
  });
});
