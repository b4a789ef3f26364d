/**
 * The credential proxy: takes model requests from callers that know no key but a session token, and sends them on
 * with the key. Nothing else is reachable through it.
 */
import type { HttpBindings } from '@hono/node-server';
import { Hono, type Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { newId } from '../id.ts';
import type { Logger } from '../log-line.ts';
import { ApiError, notFound, toErrorBody, unauthenticated } from '../wire/error.ts';
import { breakConnection } from './cut.ts';
import { toDownstream, toUpstream } from './headers.ts';
import { relay } from './relay.ts';
import { createRevocations, type Revocations } from './revocation.ts';
import { TokenError, type SessionTokens, type TokenClaims } from './token.ts';

/** The model API behind the proxy. */
interface Upstream {
  readonly baseUrl: string;
  /** None where the upstream wants none, as the scripted model. */
  readonly apiKey?: string | undefined;
}

/** What a proxy is made of. */
export interface ProxyParts {
  readonly tokens: SessionTokens;
  readonly upstream: Upstream;
  readonly revocations?: Revocations;
  readonly log?: Logger;
  /** How the upstream is reached; the global `fetch` unless said otherwise. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

type Variables = { requestId: string; startedAt: number; sessionId?: string };
type ProxyEnv = { Bindings: Partial<HttpBindings>; Variables: Variables };

/** Makes the proxy as an app that needs no socket. */
export function createProxyApp(parts: ProxyParts): Hono<ProxyEnv> {
  const { tokens, log, revocations = createRevocations() } = parts;
  const app = new Hono<ProxyEnv>();
  app.use(async (c, next) => {
    c.env ??= {}; // without a server there is none
    c.set('requestId', newId('req'));
    c.set('startedAt', performance.now());
    await next();
  });
  app.onError((error, c) => refuse(c, error, log));
  app.notFound((c) => refuse(c, notFound(`Not found: ${c.req.path}`), log));
  app.get('/healthz', (c) => c.json({ status: 'ok', role: 'proxy' }));

  for (const path of ['/v1/*', '/x/*']) {
    app.use(path, async (c, next) => {
      const claims = await authenticate(c.req.header('authorization'), tokens);
      if (revocations.isRevoked(claims)) throw unauthenticated('The session token has been revoked.');
      c.set('sessionId', claims.sessionId);
      await next();
    });
  }
  for (const path of ['/v1/messages', '/v1/messages/count_tokens'])
    app.post(path, (c) => forward(c, path, parts));
  app.get('/v1/models', (c) => forward(c, '/v1/models', parts));
  app.get('/v1/models/:id', (c) => forward(c, `/v1/models/${modelSegment(c.req.param('id'))}`, parts));
  // Whoever holds a token of a session may end all tokens of that session, and of no other.
  app.post('/x/revoke', (c) => {
    revocations.revoke(c.get('sessionId') ?? '');
    writeLine(c, log, { status: 204, outcome: 'revoked' });
    return c.body(null, 204);
  });
  return app;
}

async function authenticate(header: string | undefined, tokens: SessionTokens): Promise<TokenClaims> {
  const token = /^Bearer (?<token>\S+)$/i.exec(header ?? '')?.groups?.['token'];
  if (token === undefined) throw unauthenticated('A session token is needed: `Authorization: Bearer …`.');
  try {
    return await tokens.verify(token);
  } catch (error) {
    throw error instanceof TokenError ? unauthenticated(error.message) : error;
  }
}

/** A URL would resolve dots, and so leave the paths that are open. */
function modelSegment(id: string): string {
  if (/^\.+$/.test(id)) throw notFound(`model: ${id}`);
  return encodeURIComponent(id);
}

async function forward(c: Context<ProxyEnv>, path: string, parts: ProxyParts): Promise<Response> {
  const { upstream, log } = parts;
  const answer = await ask(c, path, parts);
  const { status } = answer;
  // Following would take the key wherever the redirect points.
  if (status >= 300 && status < 400) {
    await answer.body?.cancel();
    throw new ApiError(502, 'api_error', `The model API answers with a redirect (${status}).`);
  }
  const headers = toDownstream(answer.headers, upstream.apiKey);
  if (!headers.has('request-id')) headers.set('request-id', c.get('requestId'));
  const upstreamId = headers.get('request-id');
  if (answer.body === null) {
    writeLine(c, log, { status, outcome: 'complete', upstreamId });
    return new Response(null, { status, headers });
  }
  const { outgoing } = c.env;
  const body = relay(answer.body, {
    secret: upstream.apiKey,
    cut: outgoing === undefined ? undefined : () => breakConnection(outgoing),
    onEnd: (outcome) => writeLine(c, log, { status, outcome, upstreamId }),
  });
  return new Response(body, { status, headers });
}

async function ask(c: Context<ProxyEnv>, path: string, { upstream, fetch = globalThis.fetch }: ProxyParts) {
  const { method, headers, body, signal } = c.req.raw;
  const { search } = new URL(c.req.url);
  const init: RequestInit = {
    method,
    headers: toUpstream(headers, upstream.apiKey),
    redirect: 'manual',
    signal,
  };
  if (body !== null) Object.assign(init, { body, duplex: 'half' });
  try {
    return await fetch(`${upstream.baseUrl.replace(/\/+$/, '')}${path}${search}`, init);
  } catch (error) {
    // The status never arrives anywhere; it is for the log.
    if (signal.aborted) throw new ApiError(499, 'api_error', 'The client has gone.');
    throw new ApiError(502, 'api_error', `The model API cannot be reached: ${causeOf(error)}.`);
  }
}

/** A code such as ECONNREFUSED, never the message: nobody knows what an error quotes. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (typeof cause === 'object' && cause !== null && 'code' in cause) return String(cause.code);
  return cause instanceof Error ? cause.name : 'unknown error';
}

function refuse(c: Context<ProxyEnv>, error: Error, log: Logger | undefined): Response {
  const known =
    error instanceof ApiError ? error : new ApiError(500, 'api_error', 'The credential proxy failed.');
  const requestId = c.get('requestId');
  writeLine(c, log, { status: known.status, outcome: error instanceof ApiError ? known.type : error.name });
  const headers = { 'content-type': 'application/json', 'request-id': requestId, ...known.headers };
  const body = JSON.stringify(toErrorBody(known, requestId));
  return c.newResponse(body, { status: known.status as ContentfulStatusCode, headers });
}

/** The one line that a request leaves: no header, no query, no body. */
function writeLine(
  c: Context<ProxyEnv>,
  log: Logger | undefined,
  { status, outcome, upstreamId }: { status: number; outcome: string; upstreamId?: string | null },
): void {
  log?.info('request', {
    method: c.req.method,
    path: c.req.path,
    status,
    outcome,
    session: c.get('sessionId'),
    requestId: upstreamId ?? c.get('requestId'),
    durationMs: Math.round(performance.now() - c.get('startedAt')),
  });
}
