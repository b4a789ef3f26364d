import { NotFoundError } from '@anthropic-ai/sdk';
import { describe, expect, it } from 'vitest';
import { conflict, overloaded, rateLimited } from '../../src/wire/error.ts';
import { createTestPlane, failureOf, TEST_KEY, type TestBody } from '../support/control-plane.ts';

interface Envelope {
  type: string;
  request_id: string;
  error: { type: string; message: string; details?: Record<string, unknown> };
}

async function envelope(answer: Response): Promise<Envelope> {
  expect(answer.headers.get('content-type')).toContain('application/json');
  const body = (await answer.json()) as Envelope;
  expect(body.type).toBe('error');
  expect(body.request_id).toMatch(/^req_01/);
  expect(answer.headers.get('request-id')).toBe(body.request_id);
  return body;
}

describe('auth', () => {
  it('accepts Bearer and x-api-key, both versions, unknown betas and ?beta=true', async () => {
    const { app } = await createTestPlane();
    const variants: Record<string, string>[] = [
      { authorization: `Bearer ${TEST_KEY}`, 'anthropic-version': '2026-10-21' },
      { authorization: `bearer ${TEST_KEY}` },
      { 'x-api-key': TEST_KEY, 'anthropic-version': '2023-06-01' },
      { 'x-api-key': TEST_KEY, 'anthropic-beta': 'managed-agents-2026-04-01,nobody-knows-2031-01-01' },
      { authorization: 'Bearer other', 'x-api-key': TEST_KEY },
    ];
    for (const headers of variants) {
      const answer = await app.request('http://drover.test/v1/agents?beta=true', { headers });
      expect(answer.status).toBe(200);
      expect(answer.headers.get('request-id')).toMatch(/^req_01/);
      expect(answer.headers.get('anthropic-workspace-id')).toBe('wrkspc_default');
    }
  });

  it('refuses a missing, empty or unknown key with 401', async () => {
    const { app } = await createTestPlane();
    const variants: Record<string, string>[] = [
      {},
      { 'x-api-key': '' },
      { 'x-api-key': 'wrong' },
      { authorization: 'Bearer wrong' },
      { authorization: `Basic ${TEST_KEY}` },
    ];
    for (const headers of variants) {
      const answer = await app.request('http://drover.test/v1/agents', { headers });
      expect(answer.status).toBe(401);
      expect((await envelope(answer)).error.type).toBe('authentication_error');
    }
  });

  it('does not show one workspace to another', async () => {
    const { client, otherClient } = await createTestPlane();
    const other = await otherClient();
    const agent = await client.beta.agents.create({ name: 'mine', model: 'claude-opus-5' });
    const environment = await client.beta.environments.create({ name: 'mine' });
    expect((await failureOf(other.beta.agents.retrieve(agent.id))).status).toBe(404);
    expect((await failureOf(other.beta.agents.update(agent.id, { name: 'x' }))).status).toBe(404);
    expect((await failureOf(other.beta.agents.archive(agent.id))).status).toBe(404);
    expect((await failureOf(other.beta.agents.versions.list(agent.id))).status).toBe(404);
    expect((await failureOf(other.beta.environments.retrieve(environment.id))).status).toBe(404);
    expect((await failureOf(other.beta.environments.delete(environment.id))).status).toBe(404);
    expect((await other.beta.agents.list()).data).toEqual([]);
    expect((await other.beta.environments.list()).data).toEqual([]);
    await other.beta.environments.create({ name: 'mine' });
  });
});

describe('errors', () => {
  it('answers an unknown id as the SDK expects (check 18)', async () => {
    const { client } = await createTestPlane();
    const failure = await failureOf(client.beta.agents.retrieve('agent_01nobody'));
    expect(failure).toBeInstanceOf(NotFoundError);
    expect(failure.type).toBe('not_found_error');
    expect(failure.requestID).toMatch(/^req_01/);
    expect(failure.apiMessage).toContain('agent_01nobody');
  });

  it('answers unknown routes and methods with 404 in the envelope', async () => {
    const { send } = await createTestPlane();
    for (const [method, path] of [
      ['GET', '/v1/nothing'],
      ['PUT', '/v1/agents'],
      ['DELETE', '/v1/agents/agent_1'],
      ['GET', '/nothing'],
    ] as const) {
      const answer = await send(method, path);
      expect([method, path, answer.status]).toEqual([method, path, 404]);
      expect((await envelope(answer)).error.type).toBe('not_found_error');
    }
  });

  it('hides what went wrong inside, and logs it', async () => {
    const logged: unknown[] = [];
    const thrown: unknown[] = [new Error('secret path'), 'secret text', undefined];
    for (const [index, value] of thrown.entries()) {
      const { send } = await createTestPlane({
        logger: { error: (_message, fields) => logged.push(fields['error']) },
        mount: (app) => app.get('/v1/broken', () => Promise.reject(value as Error)),
      });
      const answer = await send('GET', '/v1/broken');
      expect(answer.status).toBe(500);
      const { error } = await envelope(answer);
      expect(error).toEqual({ type: 'api_error', message: 'Internal server error' });
      expect(logged[index]).toBe(value);
    }
  });

  it('mounts routes behind the same auth, and puts the request id on streams', async () => {
    const { app, send } = await createTestPlane({
      mount: (mounted) => {
        mounted.get('/v1/stream', (c) =>
          c.body(new Blob([`data: ${c.get('workspaceId')}\n\n`]).stream(), 200, {
            'content-type': 'text/event-stream',
          }),
        );
      },
    });
    expect((await app.request('http://drover.test/v1/stream')).status).toBe(401);
    const answer = await send('GET', '/v1/stream');
    expect(answer.headers.get('request-id')).toMatch(/^req_01/);
    expect(await answer.text()).toBe('data: wrkspc_default\n\n');
  });

  it('lets the SDK wait for 429 and 529, and not for a conflict (check 47)', async () => {
    const calls = { limited: 0, full: 0, taken: 0 };
    const { client } = await createTestPlane({
      mount: (app) => {
        app.get('/v1/limited', (c) => {
          calls.limited += 1;
          if (calls.limited === 1) throw rateLimited('slow down', 0);
          return c.json({ fine: true });
        });
        app.get('/v1/full', () => {
          calls.full += 1;
          throw overloaded('no room');
        });
        app.get('/v1/taken', () => {
          calls.taken += 1;
          throw conflict('taken', { errorCode: 'some_code' });
        });
      },
    });
    expect(await client.get('/v1/limited')).toMatchObject({ fine: true });
    expect(calls.limited).toBe(2);
    expect(await failureOf(client.get('/v1/taken'))).toMatchObject({
      status: 409,
      type: 'conflict_error',
      errorCode: 'some_code',
    });
    expect(calls.taken).toBe(1);
    expect(await failureOf(client.get('/v1/full', { maxRetries: 1 }))).toMatchObject({
      status: 529,
      type: 'overloaded_error',
    });
    expect(calls.full).toBe(2);
  });
});

describe('bodies', () => {
  const create = async (body: TestBody | undefined, headers?: Record<string, string>) => {
    const { send } = await createTestPlane();
    const answer = await send('POST', '/v1/agents', body, headers);
    return { status: answer.status, ...(await envelope(answer)).error };
  };

  it.each([
    ['no body', undefined, 'content-type'],
    ['an empty one', '', 'empty'],
    ['bad JSON', '{"name":', 'not valid JSON'],
    ['a list', '[]', 'must be a JSON object'],
    ['null', 'null', 'must be a JSON object'],
    ['bad UTF-8', new Uint8Array([123, 34, 0xff, 34, 125]), 'UTF-8'],
    ['absurd nesting', `{"name":${'['.repeat(5000)}${']'.repeat(5000)}}`, 'nested'],
  ])('refuses %s', async (_name, body, message) => {
    const error = await create(body);
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(error.message).toContain(message);
  });

  it('refuses another content type', async () => {
    const error = await create('{"name":"a","model":"m"}', { 'content-type': 'text/plain' });
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(error.message).toMatch(/^content-type: /);
  });

  it('refuses 33 MB with 413', async () => {
    const error = await create(
      JSON.stringify({ name: 'a', model: 'm', system: 'x'.repeat(33 * 1024 * 1024) }),
    );
    expect(error).toMatchObject({ status: 413, type: 'request_too_large' });
  });

  it('stops reading a chunked body at the limit', async () => {
    const chunk = new Uint8Array(1024 * 1024).fill(0x20);
    let sent = 0;
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        sent += 1;
        controller.enqueue(chunk);
      },
      cancel: () => {
        cancelled = true;
      },
    });
    expect(await create(endless)).toMatchObject({ status: 413, type: 'request_too_large' });
    expect(sent).toBeLessThan(40);
    expect(cancelled).toBe(true);
  });

  it('answers 413 at once when the length says so', async () => {
    const error = await create('{}', { 'content-length': String(40 * 1024 * 1024) });
    expect(error).toMatchObject({ status: 413 });
  });
});

describe('queries', () => {
  it.each([
    ['limit=0', 'limit: must be greater than or equal to 1'],
    ['limit=101', 'limit: must be less than or equal to 100'],
    ['limit=ten', 'limit: Input should be a valid integer'],
    ['limit=1.5', 'limit: Input should be a valid integer'],
    ['include_archived=maybe', 'include_archived: '],
    ['created_at%5Bgte%5D=yesterday', 'created_at[gte]: Input should be a valid RFC 3339 time'],
    ['page=rubbish', 'page: not a valid cursor'],
    ['page=%00', 'page: not a valid cursor'],
  ])('refuses %s', async (query, message) => {
    const { send } = await createTestPlane();
    const answer = await send('GET', `/v1/agents?${query}`);
    expect(answer.status).toBe(400);
    const { error } = await envelope(answer);
    expect(error.type).toBe('invalid_request_error');
    expect(error.message).toContain(message);
  });

  it('ignores unknown and empty parameters, and takes brackets in either form', async () => {
    const { send } = await createTestPlane();
    for (const query of [
      'unknown=1',
      'limit=&page=',
      'created_at[gte]=2026-01-01T00:00:00Z',
      'created_at%5Bgte%5D=2026-01-01T01:00:00.5%2B01:00',
    ]) {
      const { status } = await send('GET', `/v1/agents?${query}`);
      expect([query, status]).toEqual([query, 200]);
    }
  });
});

describe('health', () => {
  it('needs no key, and tells ill health by its status', async () => {
    const well = await createTestPlane();
    expect((await well.app.request('http://drover.test/healthz')).status).toBe(200);
    const ill = await createTestPlane({ health: async () => ({ ok: false, reason: 'no temporal' }) });
    const answer = await ill.app.request('http://drover.test/healthz');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({ status: 'unavailable', reason: 'no temporal' });
    const broken = await createTestPlane({ health: () => Promise.reject(new Error('secret')) });
    expect(await (await broken.app.request('http://drover.test/healthz')).json()).toEqual({
      status: 'unavailable',
    });
  });
});
