import { once } from 'node:events';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import Anthropic from '@anthropic-ai/sdk';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createLogger } from '../../src/log-line.ts';
import { createModelApp } from '../../src/model/app.ts';
import { script } from '../../src/model/directives.ts';
import { serveModel } from '../../src/model/serve.ts';
import { createProxyApp, type ProxyParts } from '../../src/proxy/app.ts';
import { createTokens } from '../../src/proxy/token.ts';
import { runProxy } from '../../src/proxy.ts';

const CANARY = 'sk-ant-api03-canary-Zq7-do-not-show-this-to-anyone';
const SECRET = 'a secret for tests that is longer than thirty-two bytes';
const tokens = createTokens(SECRET);

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

/** An upstream that does what the test says, and the proxy before it, both on real sockets. */
async function setUp(handler: Handler, { apiKey = CANARY }: { apiKey?: string | undefined } = {}) {
  const upstream = createServer(handler);
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  cleanups.push(() => closeServer(upstream));
  return await startProxy(`http://127.0.0.1:${(upstream.address() as AddressInfo).port}`, apiKey);
}

async function startProxy(baseUrl: string, apiKey: string | undefined) {
  const lines: string[] = [];
  const log = createLogger('proxy', (line) => lines.push(line));
  const proxy = await runProxy({ port: 0, upstream: { baseUrl, apiKey }, tokenSecret: SECRET, log });
  cleanups.push(() => proxy.close());
  const url = `http://127.0.0.1:${proxy.port}`;
  const token = await tokens.mint({ sessionId: 'sesn_1' });
  const post = (init: Omit<RequestInit, 'headers'> & { headers?: Record<string, string> } = {}) =>
    fetch(`${url}/v1/messages`, {
      method: 'POST',
      body: '{}',
      ...init,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...init.headers },
    });
  const client = new Anthropic({ authToken: token, apiKey: null, baseURL: url, maxRetries: 0 });
  const logged = () => lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { url, token, post, client, lines, logged, proxy };
}

async function closeServer(server: Server): Promise<void> {
  server.close();
  server.closeAllConnections();
  await once(server, 'close').catch(() => undefined);
}

const decoder = new TextDecoder();
const readText = async (reader: ReadableStreamDefaultReader<Uint8Array>) =>
  decoder.decode((await reader.read()).value);

const say = (...lines: object[]) => ({
  model: 'claude-opus-5-5',
  max_tokens: 4096,
  messages: [{ role: 'user' as const, content: script(...lines) }],
});

describe('forwarding', () => {
  it('puts the key in and leaves the credentials of the caller out', async () => {
    const seen: IncomingMessage[] = [];
    const bodies: string[] = [];
    const { post } = await setUp(async (request, response) => {
      seen.push(request);
      let body = '';
      for await (const chunk of request) body += String(chunk);
      bodies.push(body);
      response.end('{}');
    });
    await post({
      body: '{"model":"ünïcödé"}',
      headers: {
        'x-api-key': 'callers-own',
        cookie: 'session=callers-own',
        'proxy-authorization': 'callers-own',
        'anthropic-workspace-id': 'callers-own',
        'anthropic-beta': 'a,b',
        'anthropic-version': '2026-10-21',
        'x-stainless-retry-count': '2',
      },
    });
    expect(bodies).toEqual(['{"model":"ünïcödé"}']);
    const { headers, method, url } = seen[0]!;
    expect({ method, url }).toEqual({ method: 'POST', url: '/v1/messages' });
    expect(headers).toMatchObject({
      'x-api-key': CANARY,
      'anthropic-beta': 'a,b',
      'anthropic-version': '2026-10-21',
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength('{"model":"ünïcödé"}')),
      'accept-encoding': 'identity',
      'x-stainless-retry-count': '2',
    });
    expect(headers.authorization).toBeUndefined();
    expect(JSON.stringify(headers)).not.toMatch(/callers-own|Bearer/);
  });

  it('gives back what the client needs to know, and nothing of the connection', async () => {
    const { post } = await setUp((_, response) => {
      response.writeHead(429, {
        'content-type': 'application/json',
        'retry-after': '7',
        'retry-after-ms': '6500',
        'request-id': 'req_upstream',
        'x-should-retry': 'true',
        'anthropic-ratelimit-requests-remaining': '0',
        'set-cookie': 'a=b',
        'anthropic-organization-id': 'org',
      });
      response.end('{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}');
    });
    const response = await post();
    expect(response.status).toBe(429);
    expect(await response.json()).toMatchObject({ error: { type: 'rate_limit_error' } });
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'retry-after': '7',
      'retry-after-ms': '6500',
      'request-id': 'req_upstream',
      'x-should-retry': 'true',
      'anthropic-ratelimit-requests-remaining': '0',
    });
    expect(response.headers.get('set-cookie')).toBeNull();
    expect(response.headers.get('anthropic-organization-id')).toBeNull();
  });

  it('decodes once where the upstream compresses all the same', async () => {
    const { post } = await setUp((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
      response.end(gzipSync('{"fine":true}'));
    });
    const response = await post();
    expect(response.headers.get('content-encoding')).toBeNull();
    expect(await response.json()).toEqual({ fine: true });
  });

  it('serves the official client from end to end', async () => {
    const model = await serveModel();
    cleanups.push(() => model.close());
    const { client } = await startProxy(model.url, undefined);
    const answer = await client.messages.stream(say({ say: 'Hello through the proxy.' })).finalMessage();
    expect(answer.content).toMatchObject([{ type: 'text', text: 'Hello through the proxy.' }]);
    expect(
      (await client.messages.countTokens({ model: 'm', messages: say({}).messages })).input_tokens,
    ).toBeGreaterThan(0);
    expect((await client.models.list({ limit: 2 })).data).toHaveLength(2);
    expect(await client.models.retrieve('claude-haiku-5-5')).toMatchObject({ id: 'claude-haiku-5-5' });
    await expect(client.messages.create(say({ fail: 529 }))).rejects.toMatchObject({
      type: 'overloaded_error',
    });
    expect(model.requests.list().every(({ headers }) => headers['authorization'] === undefined)).toBe(true);
    expect(model.requests.list().every(({ headers }) => headers['x-api-key'] === undefined)).toBe(true);
  });

  it.each([
    ['GET', '/v1/messages'],
    ['POST', '/v1/messages/batches'],
    ['POST', '/v1/files'],
    ['GET', '/v1/models/%2e%2e'],
    ['GET', '/v1/models/a/b'],
    ['GET', '/'],
  ])('reaches nothing else: %s %s', async (method, path) => {
    const reached = vi.fn<Handler>((_, response) => void response.end('{}'));
    const { url, token } = await setUp(reached);
    // fetch would resolve the dots itself.
    const request = httpRequest(url, { method, path, headers: { authorization: `Bearer ${token}` } }).end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.resume();
    expect(response.statusCode).toBe(404);
    expect(reached).not.toHaveBeenCalled();
  });

  it('keeps a model id in its place', async () => {
    const urls: (string | undefined)[] = [];
    const { url, token } = await setUp((request, response) => {
      urls.push(request.url);
      response.end('{}');
    });
    await fetch(`${url}/v1/models/a%2F..%2Ffiles?x=1`, { headers: { authorization: `Bearer ${token}` } });
    expect(urls).toEqual(['/v1/models/a%2F..%2Ffiles?x=1']);
  });

  it('follows no redirect: the key would go along', async () => {
    const elsewhere = vi.fn<Handler>((_, response) => void response.end('{}'));
    const other = createServer(elsewhere).listen(0, '127.0.0.1');
    await once(other, 'listening');
    cleanups.push(() => closeServer(other));
    const { url, token, post } = await setUp((request, response) => {
      const location = `http://127.0.0.1:${(other.address() as AddressInfo).port}/v1/messages`;
      response.writeHead(request.method === 'GET' ? 302 : 307, { location });
      response.end();
    });
    expect((await post()).status).toBe(502);
    const listing = await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${token}` } });
    expect(await listing.json()).toMatchObject({
      error: { message: expect.stringContaining('redirect (302)') },
    });
    expect(elsewhere).not.toHaveBeenCalled();
  });

  it('says so where the upstream cannot be reached', async () => {
    const { post, client } = await startProxy('http://127.0.0.1:1', CANARY);
    const response = await post();
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({
      type: 'error',
      error: { type: 'api_error', message: expect.stringMatching(/cannot be reached: \w+/) },
      request_id: response.headers.get('request-id'),
    });
    await expect(client.models.list()).rejects.toMatchObject({ status: 502 });
  });
});

describe('streams', () => {
  it('pass at once, piece by piece', async () => {
    let send: (text: string) => void = () => undefined;
    const { post } = await setUp((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.flushHeaders();
      send = (text) => void response.write(text);
    });
    // Each step waits for the one before it: had the proxy held anything back, none would come to an end.
    const response = await post();
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const reader = response.body!.getReader();
    for (const text of ['event: ping\ndata: {}\n\n', 'event: me', 'ssage_stop\n', '\n']) {
      send(text);
      expect(await readText(reader)).toBe(text);
    }
    await reader.cancel();
  });

  it('take the body of the request along as it comes', async () => {
    const arrived: string[] = [];
    const { url, token } = await setUp(async (request, response) => {
      for await (const chunk of request) arrived.push(String(chunk));
      response.end('{}');
    });
    const headers = { authorization: `Bearer ${token}` };
    const request = httpRequest(`${url}/v1/messages`, { method: 'POST', headers });
    request.write('{"first":');
    await vi.waitFor(() => expect(arrived).toEqual(['{"first":']));
    request.end('1}');
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.resume();
    expect(arrived.join('')).toBe('{"first":1}');
  });

  it('end upstream as soon as the client goes, in the middle of an answer', async () => {
    const closed = Promise.withResolvers<boolean>();
    const { post, logged } = await setUp((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('event: ping\n\n');
      response.on('close', () => closed.resolve(response.writableFinished));
    });
    const response = await post();
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
    expect(await closed.promise).toBe(false);
    await vi.waitFor(() => expect(logged().at(-1)).toMatchObject({ status: 200, outcome: 'client gone' }));
  });

  it('end upstream as soon as the client goes, before there is an answer', async () => {
    const asked = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    const { post, logged } = await setUp((_, response) => {
      response.on('close', () => closed.resolve());
      asked.resolve();
    });
    const gone = new AbortController();
    const waiting = post({ signal: gone.signal });
    await asked.promise;
    gone.abort();
    await expect(waiting).rejects.toThrow(/abort/i);
    await closed.promise;
    await vi.waitFor(() => expect(logged().at(-1)).toMatchObject({ status: 499 }));
  });

  it('break off where the upstream breaks off, after all that it had sent', async () => {
    const { post, logged } = await setUp((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('event: ping\n\n', () => response.destroy());
    });
    const response = await post();
    const reader = response.body!.getReader();
    expect(await readText(reader)).toBe('event: ping\n\n');
    await expect(reader.read()).rejects.toThrow(/terminated/);
    expect(logged().at(-1)).toMatchObject({ outcome: 'upstream cut' });
  });

  it('break off for the official client too, where the model does', async () => {
    const model = await serveModel();
    cleanups.push(() => model.close());
    const { client } = await startProxy(model.url, undefined);
    const heard: string[] = [];
    const stream = client.messages.stream(say({ say: 'x'.repeat(240) }, { fail: 'cut', after: 3 }));
    stream.on('text', (text) => heard.push(text));
    await expect(stream.finalMessage()).rejects.toThrow(/terminated/);
    expect(heard.join('')).toBe('x'.repeat(72));
    await expect(client.messages.create(say({ fail: 'drop' }))).rejects.toMatchObject({ status: 502 });
  });

  it('are let end when the proxy stops', async () => {
    const { post, proxy } = await setUp((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('event: ping\n\n');
    });
    const response = await post();
    const reader = response.body!.getReader();
    await reader.read();
    const ended = reader.read().catch(() => 'cut');
    await proxy.close();
    expect(await ended).toBe('cut');
  });
});

describe('the key', () => {
  it('shows up nowhere: not in answers, whatever the upstream says, not in headers, not in the log', async () => {
    const { post, lines } = await setUp((request, response) => {
      response.writeHead(request.headers['content-type'] === 'text/plain' ? 200 : 401, {
        'content-type': 'application/json',
        'request-id': `req_${CANARY}`,
        'anthropic-ratelimit-key': CANARY,
        'x-debug': CANARY,
      });
      // In one piece, in two, byte by byte, and half of it at the end.
      response.write(`{"error":{"message":"invalid x-api-key: ${CANARY}"},"again":"${CANARY.slice(0, 20)}`);
      response.write(`${CANARY.slice(20)}","once more":"`);
      for (const letter of CANARY) response.write(letter);
      response.end(`","start":"${CANARY.slice(0, 30)}"}`);
    });
    for (const contentType of ['application/json', 'text/plain']) {
      const response = await post({ headers: { 'content-type': contentType } });
      const text = await response.text();
      expect(JSON.parse(text)).toEqual({
        error: { message: 'invalid x-api-key: [redacted]' },
        again: '[redacted]',
        'once more': '[redacted]',
        start: CANARY.slice(0, 30),
      });
      expect(JSON.stringify([...response.headers])).not.toContain(CANARY);
    }
    const unreachable = await startProxy(`http://127.0.0.1:1/${CANARY}`, CANARY);
    expect(await (await unreachable.post()).text()).not.toContain(CANARY);
    expect([...lines, ...unreachable.lines].join('')).not.toContain(CANARY);
    expect(lines.length + unreachable.lines.length).toBeGreaterThanOrEqual(5);
  });

  it('is not known to the caller either way round: one line a request, without header, query or token', async () => {
    const { url, token, lines } = await setUp((_, response) => void response.end('{}'));
    await fetch(`${url}/v1/models?secret=in-the-query`, { headers: { authorization: `Bearer ${token}` } });
    await fetch(`${url}/v1/models`, { headers: { authorization: 'Bearer nonsense' } });
    const [, first, second, ...rest] = lines;
    expect(rest).toEqual([]);
    expect(JSON.parse(first!)).toMatchObject({
      role: 'proxy',
      method: 'GET',
      path: '/v1/models',
      status: 200,
      session: 'sesn_1',
      outcome: 'complete',
    });
    expect(JSON.parse(second!)).toMatchObject({ status: 401, outcome: 'authentication_error' });
    expect(lines.join('')).not.toMatch(new RegExp(`in-the-query|nonsense|${token}`));
  });
});

describe('session tokens', () => {
  const start = Date.parse('2026-01-01T00:00:00.500Z');
  let now = start;
  const clocked = createTokens(SECRET, { now: () => now });
  const parts: ProxyParts = {
    tokens: clocked,
    upstream: { baseUrl: 'http://model.test' },
    fetch: async (url, init) => createModelApp().request(url, init),
  };
  const ask = async (app: ReturnType<typeof createProxyApp>, authorization?: string, path = '/v1/models') => {
    const headers = authorization === undefined ? {} : { authorization };
    const response = await app.request(path, { method: path === '/x/revoke' ? 'POST' : 'GET', headers });
    const body = response.status === 204 ? undefined : ((await response.json()) as Record<string, unknown>);
    return { status: response.status, body };
  };

  it('open the proxy for a quarter of an hour', async () => {
    now = start;
    const app = createProxyApp(parts);
    const token = `Bearer ${await clocked.mint({ sessionId: 'sesn_a' })}`;
    expect((await ask(app, token)).status).toBe(200);
    now = start + 15 * 60_000 - 1;
    expect((await ask(app, token)).status).toBe(200);
    now += 1;
    expect(await ask(app, token)).toMatchObject({
      status: 401,
      body: {
        type: 'error',
        error: { type: 'authentication_error', message: 'The session token has expired.' },
      },
    });
  });

  it('are refused where anything about them is wrong', async () => {
    now = start;
    const app = createProxyApp(parts);
    const good = await clocked.mint({ sessionId: 'sesn_a' });
    const [head = '', claims = '', signature = ''] = good.split('.');
    const decoded = JSON.parse(Buffer.from(claims, 'base64url').toString()) as object;
    const forge = (change: object) =>
      Buffer.from(JSON.stringify({ ...decoded, ...change })).toString('base64url');
    const unsigned = Buffer.from('{"alg":"none"}').toString('base64url');
    const others = await createTokens(`another ${SECRET}`, { now: () => now }).mint({ sessionId: 'sesn_a' });
    const wrong = [
      undefined,
      'Basic abc',
      `Bearer ${CANARY}`,
      `Bearer ${others}`,
      `Bearer ${head}.${forge({ sub: 'sesn_b' })}.${signature}`,
      `Bearer ${unsigned}.${claims}.`,
      `Bearer ${good.slice(0, -2)}`,
    ];
    for (const authorization of wrong) {
      expect(await ask(app, authorization)).toMatchObject({ status: 401, body: { type: 'error' } });
    }
    expect((await ask(app, `bearer ${good}`)).status).toBe(200);
  });

  it('are of one kind only: a token for something else does not open the proxy', async () => {
    const { SignJWT } = await import('jose');
    now = start;
    const app = createProxyApp(parts);
    const key = new TextEncoder().encode(SECRET);
    const claims = { sub: 'sesn_a', jti: 'x', iat: now / 1000, exp: now / 1000 + 60, aud: 'drover-proxy' };
    const sign = (change: object) =>
      new SignJWT({ ...claims, ...change }).setProtectedHeader({ alg: 'HS256' }).sign(key);
    expect((await ask(app, `Bearer ${await sign({})}`)).status).toBe(200);
    for (const change of [
      { aud: 'drover-bus' },
      { jti: undefined },
      { sub: undefined },
      { exp: now / 1000 + 86_400 },
    ]) {
      expect((await ask(app, `Bearer ${await sign(change)}`)).status).toBe(401);
    }
  });

  it('can be revoked by whoever holds one, for that session and up to that moment', async () => {
    now = start;
    let clock = start;
    const { createRevocations } = await import('../../src/proxy/revocation.ts');
    const app = createProxyApp({ ...parts, revocations: createRevocations(() => clock) });
    const bearer = async (sessionId: string) => `Bearer ${await clocked.mint({ sessionId })}`;
    const [one, two, other] = [await bearer('sesn_a'), await bearer('sesn_a'), await bearer('sesn_b')];
    expect((await ask(app, undefined, '/x/revoke')).status).toBe(401);
    expect((await ask(app, one, '/x/revoke')).status).toBe(204);
    for (const token of [one, two]) {
      expect(await ask(app, token)).toMatchObject({
        status: 401,
        body: { error: { message: 'The session token has been revoked.' } },
      });
    }
    expect((await ask(app, other)).status).toBe(200);
    now = clock = start + 5;
    expect((await ask(app, await bearer('sesn_a'))).status).toBe(200);
    expect((await ask(app, one)).status).toBe(401);
  });

  it('need a real secret and a short life', async () => {
    expect(() => createTokens('short')).toThrow(/at least 32 bytes/);
    await expect(clocked.mint({ sessionId: 'a', ttlMs: 3_600_001 })).rejects.toThrow(/at most 3600000 ms/);
    await expect(clocked.mint({ sessionId: 'a', ttlMs: 0 })).rejects.toThrow(RangeError);
  });

  it('are not asked for where only the health is', async () => {
    const response = await createProxyApp(parts).request('/healthz');
    expect(response.status).toBe(200);
  });
});
