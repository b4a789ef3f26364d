/** Transport and errors (wire-api sections 1 and 2), conformance checks 18, 47 and 48. */
import Anthropic, { AuthenticationError, NotFoundError, RateLimitError } from '@anthropic-ai/sdk';
import { describe, expect, it } from 'vitest';
import { toProblem } from '../../src/http/problem.ts';
import { overloaded } from '../../src/wire/error.ts';
import { createClient, send, server, unique } from '../support/client.ts';
import { failureOf } from '../support/control-plane.ts';
import { BEFORE, message, only, script, textOf, untilIdle, useTestbed } from '../support/turns.ts';

const bed = useTestbed();
const { client } = bed;

const REQUEST_ID = /^req_01\w{22}$/;
const MISSING = 'sesn_01AAAAAAAAAAAAAAAAAAAAAA';
const ENDLESS = { say: 'word '.repeat(100), chunkChars: 5, chunkDelayMs: 500 };

type Answer = Awaited<ReturnType<typeof send>>;

/** Checks what must be the same of every error (the envelope and nothing more, the id in the header), gives the rest. */
function errorOf({ status, headers, body }: Answer): string {
  expect(body).toEqual({
    type: 'error',
    error: { type: expect.any(String), message: expect.stringMatching(/\S/) },
    request_id: expect.stringMatching(REQUEST_ID),
  });
  const { error, request_id } = body as { error: { type: string }; request_id: string };
  expect(headers.get('request-id')).toBe(request_id);
  expect(headers.get('content-type')).toMatch(/^application\/json/);
  return `${status} ${error.type}`;
}

/** One request with exactly these headers. */
async function bare(
  path: string,
  headers: Readonly<Record<string, string>>,
  method = 'GET',
): Promise<Answer> {
  const answer = await fetch(`${server().url}${path}`, { method, headers });
  return { status: answer.status, headers: answer.headers, body: await answer.json() };
}

/** Reads a stream until its text has this, then hangs up. Gives its headers too. */
async function readStream(
  id: string,
  last: string,
  meanwhile: () => Promise<unknown> = async () => undefined,
) {
  const stop = new AbortController();
  const { url, apiKey } = server();
  const answer = await fetch(`${url}/v1/sessions/${id}/events/stream`, {
    headers: { authorization: `Bearer ${apiKey}` },
    signal: stop.signal,
  });
  await meanwhile();
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of answer.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes(last) && text.endsWith('\n\n')) break;
  }
  stop.abort();
  return { answer, text };
}

describe('errors', () => {
  it('check 18: the client sees kind and request id of an error, and the header has the same id', async () => {
    const error = await failureOf(client.beta.sessions.retrieve(MISSING));
    expect(error).toBeInstanceOf(NotFoundError);
    expect(error).toMatchObject({ status: 404, type: 'not_found_error' });
    expect(error.requestID).toMatch(REQUEST_ID);
    expect(error.headers?.get('request-id')).toBe(error.requestID);
    expect(error.error).toEqual({
      type: 'error',
      error: { type: 'not_found_error', message: `Session \`${MISSING}\` not found.` },
      request_id: error.requestID,
    });
  });

  it('every kind of error has the same envelope', async () => {
    const post = (body: unknown, headers = {}) => send('POST', '/v1/agents', body, headers);
    expect(errorOf(await post({ name: 'x' }))).toBe('400 invalid_request_error');
    expect(errorOf(await post('{"name":'))).toBe('400 invalid_request_error');
    expect(errorOf(await post('[]'))).toBe('400 invalid_request_error');
    expect(errorOf(await post(''))).toBe('400 invalid_request_error');
    expect(errorOf(await post('{}', { 'content-type': 'text/plain' }))).toBe('400 invalid_request_error');
    expect(errorOf(await send('GET', '/v1/sessions?limit=0'))).toBe('400 invalid_request_error');
    expect(errorOf(await send('GET', `/v1/sessions/${MISSING}/events/stream`))).toBe('404 not_found_error');
    expect(errorOf(await send('GET', '/v1/models/none'))).toBe('404 not_found_error');
    const { id } = await bed.agent();
    await client.beta.agents.update(id, { version: 1, system: 'two' });
    expect(errorOf(await send('POST', `/v1/agents/${id}`, { version: 1, system: 'three' }))).toBe(
      '409 conflict_error',
    );
    expect(errorOf(await post({ name: 'x'.repeat(33 * 1024 * 1024) }))).toBe('413 request_too_large');
  });

  it('a field that is not known is named', async () => {
    const { body } = await send('POST', '/v1/sessions', { agent: 'a', environment_id: 'e', colour: 'red' });
    expect(body).toMatchObject({ error: { message: expect.stringContaining('colour') } });
  });

  it('routes that are not there are not found, whatever the method', async () => {
    const routes = [
      ['GET', '/v1/nothing'],
      ['POST', '/v1/vaults'],
      ['PUT', '/v1/agents'],
      ['PATCH', `/v1/sessions/${MISSING}`],
      ['DELETE', '/v1/agents/agent_1'],
      ['GET', '/v1/agents/'],
      ['GET', '/v1/sessions//events'],
      ['GET', '/nothing'],
    ] as const;
    for (const [method, path] of routes)
      expect(errorOf(await send(method, path))).toBe('404 not_found_error');
  });
});

describe('keys', () => {
  it('no key and wrong keys are refused, also on routes that are not there', async () => {
    const wrong = 'sk-ant-api03-wrong';
    const { apiKey } = server();
    const attempts: Record<string, string>[] = [
      {},
      { authorization: `Bearer ${wrong}` },
      { 'x-api-key': wrong },
      { authorization: 'Bearer ' },
      { 'x-api-key': '' },
      { authorization: `Basic ${apiKey}` },
      { authorization: apiKey },
    ];
    for (const headers of attempts) {
      for (const path of ['/v1/agents', `/v1/sessions/${MISSING}/events/stream`, '/v1/nothing']) {
        expect(errorOf(await bare(path, headers))).toBe('401 authentication_error');
      }
    }
    expect(errorOf(await bare('/v1/sessions', {}, 'POST'))).toBe('401 authentication_error');
  });

  it('the client is told once, and the key is not repeated to it', async () => {
    const apiKey = 'sk-ant-api03-not-the-key';
    const { client: stranger, calls } = createClient({ apiKey });
    const error = await failureOf(stranger.beta.sessions.list());
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(error.type).toBe('authentication_error');
    expect(error.requestID).toMatch(REQUEST_ID);
    expect(JSON.stringify(error.error)).not.toContain(apiKey);
    expect(calls).toHaveLength(1);
  });
});

describe('check 48: what clients send beside the request', () => {
  const authorization = { authorization: `Bearer ${server().apiKey}` };
  const accepted: [name: string, query: string, headers: Record<string, string>][] = [
    [
      'unknown betas',
      '',
      { ...authorization, 'anthropic-beta': 'managed-agents-2026-04-01,never-heard-of-2031-01-01' },
    ],
    ['no beta', '', authorization],
    ['?beta=true', '?beta=true', authorization],
    ['x-api-key', '', { 'x-api-key': server().apiKey }],
    ['both kinds of key', '', { ...authorization, 'x-api-key': server().apiKey }],
    ['the older version', '', { ...authorization, 'anthropic-version': '2023-06-01' }],
    ['the newer version', '', { ...authorization, 'anthropic-version': '2026-10-21' }],
    ['a workspace', '', { ...authorization, 'anthropic-workspace-id': 'wrkspc_1' }],
    [
      'what an old client sends',
      '?beta=true',
      { 'x-api-key': server().apiKey, 'anthropic-version': '2023-06-01' },
    ],
  ];

  it.each(accepted)('%s', async (_, query, headers) => {
    const environment_id = await bed.environment();
    const agent = (await bed.agent()).id;
    const post = { method: 'POST', headers: { ...headers, 'content-type': 'application/json' } };
    const answer = await fetch(`${server().url}/v1/sessions${query}`, {
      ...post,
      body: JSON.stringify({ agent, environment_id }),
    });
    expect(answer.status).toBe(200);
    const { id } = (await answer.json()) as { id: string };
    bed.note(id);
    expect((await bare(`/v1/sessions/${id}${query}`, headers)).body).toMatchObject({ id, status: 'idle' });
    expect((await bare(`/v1/sessions/${id}/events${query}`, headers)).body).toEqual({
      data: [],
      next_page: null,
    });
  });

  it('the client with other betas and an older version', async () => {
    const { client: odd, calls } = createClient({
      defaultHeaders: { 'anthropic-version': '2023-06-01' },
    });
    const { id } = await bed.create();
    const session = await odd.beta.sessions.retrieve(id, { betas: ['never-heard-of-2031-01-01'] });
    expect(session.id).toBe(id);
    const [call] = calls;
    expect(call?.sent.get('anthropic-beta')).toContain('never-heard-of-2031-01-01');
    expect(call?.sent.get('anthropic-version')).toBe('2023-06-01');
  });
});

describe('check 47: come back later', () => {
  it('too many waiting events are a 429 with retry-after, and the client gets through once they are taken', async () => {
    const live = await bed.live();
    await live.send(message(script(...BEFORE, ENDLESS)));
    await live.next('span.model_request_start', 2);
    await live.send(...Array.from({ length: 497 }, (_, index) => message(`waiting ${index}`)));
    const last = [
      message('almost'),
      message('there'),
      message('at last'),
      message(script({ say: 'all taken' })),
    ];

    const { client: hasty, calls: once } = createClient({ maxRetries: 0 });
    const error = await failureOf(hasty.beta.sessions.events.send(live.id, { events: last }));
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error).toMatchObject({ status: 429, type: 'rate_limit_error' });
    expect(error.requestID).toMatch(REQUEST_ID);
    expect(Number(error.headers?.get('retry-after'))).toBeGreaterThan(0);
    expect(once).toHaveLength(1);

    let isFreed = false;
    const { client: patient, calls } = createClient({
      // The first refusal is held back until there is room again, so that the very next try goes through.
      fetch: async (input, init) => {
        const answer = await fetch(input, init);
        if (answer.status !== 429 || isFreed) return answer;
        isFreed = true;
        await live.send(message(script({ say: 'making room' })), { type: 'user.interrupt' });
        await live.next('session.status_idle');
        await untilIdle(client, live.id);
        return answer;
      },
    });
    const { data } = await patient.beta.sessions.events.send(live.id, { events: last });
    expect(data).toHaveLength(last.length);
    expect(calls.map(({ status }) => status)).toEqual([429, 200]);
    await live.until('the last of them', (events) =>
      only(events, 'agent.message').some((event) => textOf(event) === 'all taken'),
    );
    await untilIdle(client, live.id);
    const stored = only(await live.list(), 'user.message').map(textOf);
    expect(stored.filter((text) => text === 'at last')).toHaveLength(1);
    expect(stored.filter((text) => text.startsWith('waiting '))).toHaveLength(497);
  });

  it('529 is tried again twice, and then thrown as it was answered', async () => {
    const requestId = 'req_01AAAAAAAAAAAAAAAAAAAAAA';
    const { client: unlucky, calls } = createClient({
      // As the server itself answers what is overloaded.
      fetch: async () =>
        toProblem(overloaded('Overloaded'), {
          requestId,
          request: 'GET /',
          logger: { error: () => undefined },
        }),
    });
    const error = await failureOf(unlucky.beta.sessions.retrieve(MISSING));
    expect(error).toMatchObject({ status: 529, type: 'overloaded_error', requestID: requestId });
    expect(error).toBeInstanceOf(Anthropic.InternalServerError);
    expect(calls.map(({ status }) => status)).toEqual([529, 529, 529]);
  });
});

describe('answers', () => {
  it('each has a request id of its own', async () => {
    const { id } = await bed.create();
    const answers = [
      await send('GET', '/healthz'),
      await send('GET', '/v1/models'),
      await send('GET', '/v1/sessions?limit=1'),
      await send('POST', `/v1/sessions/${id}`, { title: 'named' }),
      await send('POST', `/v1/sessions/${id}/archive`),
      await send('DELETE', `/v1/sessions/${id}`),
      await send('GET', `/v1/sessions/${id}`),
      await send('GET', '/v1/nothing'),
      await send('POST', '/v1/agents', {}),
      await bare('/v1/agents', {}),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200, 404, 404, 400, 401]);
    const ids = answers.map(({ headers }) => headers.get('request-id'));
    for (const requestId of ids) expect(requestId).toMatch(REQUEST_ID);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { headers } of answers) expect(headers.get('content-type')).toMatch(/^application\/json/);
  });

  it('the client finds the request id on a result', async () => {
    const { data, request_id } = await client.beta.sessions.list({ limit: 1 }).withResponse();
    expect(data.data.length).toBeLessThanOrEqual(1);
    expect(request_id).toMatch(REQUEST_ID);
  });

  it('a session of another id is not confused with a route', async () => {
    const odd = encodeURIComponent('../agents');
    expect(errorOf(await send('GET', `/v1/sessions/${odd}`))).toBe('404 not_found_error');
    expect(errorOf(await send('GET', '/v1/sessions/%00'))).toBe('404 not_found_error');
    expect(errorOf(await send('GET', '/v1/sessions/%'))).toBe('404 not_found_error');
  });

  it('/healthz needs no key and tells nothing secret', async () => {
    const { status, body } = await bare('/healthz', {});
    expect({ status, body }).toEqual({ status: 200, body: { status: 'ok' } });
  });
});

describe('streams on the wire', () => {
  it('begin with a ping at once, and have the headers of a stream', async () => {
    const { id } = await bed.create();
    const { answer, text } = await readStream(id, '\n\n');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(answer.headers.get('cache-control')).toContain('no-cache');
    expect(answer.headers.get('request-id')).toMatch(REQUEST_ID);
    expect(text).toBe('event: ping\ndata: {"type":"ping"}\n\n');
  });

  it('keep every frame to an event line and one line of data, whatever is in it', async () => {
    const { id } = await bed.create();
    const said = `${unique()}\nevent: fake\r\n\r\ndata: {}\n\u2028\u2029\u0085\u0000 – ü 🦆 \\n`;
    const { text } = await readStream(id, 'event: session.status_idle', () =>
      client.beta.sessions.events.send(id, { events: [message(`${said}\n${script({ say: said })}`)] }),
    );
    const frames = text.split('\n\n').filter((frame) => frame !== '');
    const events = frames.map((frame) => {
      const [, name, data = ''] = /^event: ([a-z_.]+)\ndata: ([^\r\n]+)$/.exec(frame) ?? [];
      const event = JSON.parse(data) as { type: string };
      expect(event.type).toBe(name);
      return event;
    });
    expect(events.filter(({ type }) => type === 'agent.message').map(textOf)).toEqual([said]);
    expect(
      events.filter(({ type }) => type === 'user.message').every((event) => textOf(event).startsWith(said)),
    ).toBe(true);
  });
});
