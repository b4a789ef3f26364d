/**
 * The scripted model: a Messages API server that answers by directives (`directives.ts`) and refuses illegal
 * requests as the real API would (`shape.ts`, `rules.ts`). With it Drover runs without an API key, and a test can
 * make the model do anything and prove that every prompt is legal.
 *
 * For tests, `GET /x/requests?contains=…` lists what was received, `DELETE /x/requests` forgets it, and
 * `POST /x/release?hold=…` lets answers go on that wait at this hold.
 */
import type { HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { Hono, type Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { bodyLimit } from 'hono/body-limit';
import { newId } from '../id.ts';
import type { Logger } from '../log-line.ts';
import { breakConnection } from '../proxy/cut.ts';
import { ApiError, notFound, toErrorBody, tooLarge } from '../wire/error.ts';
import { buildAnswer, conversationHash } from './answer.ts';
import { createPromptCache, type PromptCache } from './cache.ts';
import { findModel, listModels } from './catalogue.ts';
import type { FailLine } from './directives.ts';
import { illegal } from './error.ts';
import { toEvents, toMessage, type TimedEvent } from './events.ts';
import { breakOff, createFailureCounter, frameFailure, httpFailure, type FailureCounter } from './failure.ts';
import { createHolds, type Holds } from './holds.ts';
import { readRecording } from './recording.ts';
import { createRequestLog, type ReceivedRequest, type RequestLog } from './request-log.ts';
import { checkAnswerable, checkPrompt } from './rules.ts';
import { nextStep, windowLimit, type NextStep } from './script.ts';
import { readMessagesRequest, readPromptRequest, type MessagesRequest } from './shape.ts';
import { pause, toBody, type Cut } from './stream.ts';
import { promptTokens, promptUnits } from './tokens.ts';

const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** How a model is set up. */
export interface ModelOptions {
  /** Folder of the `.sse` files that `replay` answers with. */
  readonly recordingsDir?: string | undefined;
  /** How many requests `GET /x/requests` remembers; 200 unless said otherwise. */
  readonly keepRequests?: number;
  /** The shortest prefix the prompt cache keeps. 0 by default, so that small tests see the cache at work. */
  readonly minCacheTokens?: number;
  /** The clock of the prompt cache. */
  readonly now?: () => number;
  readonly log?: Logger;
  /** A log of requests to share with the caller. */
  readonly requests?: RequestLog;
  /** Holds to share with the caller. */
  readonly holds?: Holds;
}

type Variables = { requestId: string; received?: ReceivedRequest };
type ModelEnv = { Bindings: Partial<HttpBindings>; Variables: Variables };

interface Parts {
  readonly cache: PromptCache;
  readonly failures: FailureCounter;
  readonly holds: Holds;
  readonly recordingsDir: string | undefined;
}

/** Makes the model as an app that needs no socket: `app.request(…)` answers. */
export function createModelApp(options: ModelOptions = {}): Hono<ModelEnv> {
  const requests = options.requests ?? createRequestLog(options.keepRequests ?? 200);
  const parts: Parts = {
    cache: createPromptCache({ minTokens: options.minCacheTokens ?? 0, now: options.now ?? Date.now }),
    failures: createFailureCounter(),
    holds: options.holds ?? createHolds(),
    recordingsDir: options.recordingsDir,
  };
  const app = new Hono<ModelEnv>();
  app.use(async (c, next) => {
    c.env ??= {}; // without a server there is none
    c.set('requestId', newId('req'));
    c.header('request-id', c.get('requestId'));
    c.header('x-drover-model', 'scripted');
    await next();
    const received = c.get('received');
    if (received !== undefined) received.status = c.res.status;
  });
  app.onError((error, c) => answerError(c, error, options.log));
  app.notFound((c) => answerError(c, notFound(`Not found: ${c.req.path}`), options.log));

  app.use('/v1/messages/*', bodyLimit({ maxSize: MAX_BODY_BYTES, onError: refuseSize }));
  app.post('/v1/messages', async (c) => answer(c, parts, await receive(c, requests)));
  app.post('/v1/messages/count_tokens', async (c) => {
    const request = readPromptRequest(await receive(c, requests));
    checkPrompt(request);
    const input = { input_tokens: promptTokens(promptUnits(request)) };
    return c.json(isBeta(c) ? { ...input, context_management: null } : input);
  });
  app.get('/v1/models', (c) => c.json(listModels(new URL(c.req.url).searchParams)));
  app.get('/v1/models/:id', (c) => c.json(findModel(c.req.param('id'))));

  app.get('/healthz', (c) => c.json({ status: 'ok', role: 'model' }));
  app.get('/x/requests', (c) => c.json({ data: requests.list(c.req.query('contains')) }));
  app.delete('/x/requests', (c) => {
    requests.clear();
    return c.body(null, 204);
  });
  app.post('/x/release', (c) => {
    parts.holds.release(c.req.query('hold') ?? '');
    return c.body(null, 204);
  });
  return app;
}

/** Reads and keeps the request; only then is it judged, so that a test can see what was refused. */
async function receive(c: Context<ModelEnv>, requests: RequestLog): Promise<unknown> {
  const { raw, method } = c.req;
  const text = await c.req.text();
  const url = new URL(c.req.url);
  const id = c.get('requestId');
  c.set(
    'received',
    requests.add({ id, method, path: url.pathname + url.search, headers: raw.headers, text }),
  );
  if (c.req.header('anthropic-version') === undefined) throw illegal('anthropic-version: header is required');
  try {
    return JSON.parse(text);
  } catch {
    throw illegal('The request body is not valid JSON');
  }
}

async function answer(c: Context<ModelEnv>, parts: Parts, body: unknown): Promise<Response> {
  const request = readMessagesRequest(body);
  checkPrompt(request);
  checkAnswerable(request);
  checkLength(request);
  const next = nextStep(request);
  const conversation = conversationHash(request);
  const failure = parts.failures.due(next.step.failures, { conversation, index: next.index });
  if (failure?.fail === 'drop') return drop(c);
  if (typeof failure?.fail === 'number') throw httpFailure(failure);
  const events = await findEvents(request, next, parts, isBeta(c));
  const { holds } = parts;
  return request.stream === true
    ? stream(c, events, { failure, holds })
    : respond(c, events, { failure, holds });
}

/** Refuses what is longer than the script's window, in the real API's words. */
function checkLength(request: MessagesRequest): void {
  const limit = windowLimit(request);
  const tokens = promptTokens(promptUnits(request));
  if (limit !== undefined && tokens > limit)
    throw illegal(`prompt is too long: ${tokens} tokens > ${limit} maximum`);
}

async function findEvents(request: MessagesRequest, next: NextStep, parts: Parts, beta: boolean) {
  const { replay } = next.step;
  if (replay !== undefined) return readRecording(parts.recordingsDir, replay, conversationHash(request));
  return toEvents(buildAnswer(request, next), parts.cache.use(promptUnits(request)), beta);
}

interface Delivery {
  /** What goes wrong in the middle of the stream. */
  readonly failure: Exclude<FailLine, { fail: number | 'drop' }> | undefined;
  readonly holds: Holds;
}

function stream(c: Context<ModelEnv>, events: readonly TimedEvent[], { failure, holds }: Delivery): Response {
  const sent = failure === undefined ? events : breakOff(events, failure, c.get('requestId'));
  c.header('content-type', 'text/event-stream; charset=utf-8');
  c.header('cache-control', 'no-cache');
  return c.body(toBody(sent, { isCut: failure?.fail === 'cut', cut: cutOf(c), holds }));
}

/** Without streaming there is no middle to fail in: a cut drops the connection, an error frame becomes a status. */
async function respond(
  c: Context<ModelEnv>,
  events: readonly TimedEvent[],
  { failure, holds }: Delivery,
): Promise<Response> {
  const { signal } = c.req.raw;
  for (const { delayMs, holds: names = [] } of events) {
    for (const name of names) await holds.wait(name, signal);
    await pause(delayMs, signal);
  }
  if (failure?.fail === 'cut') return drop(c);
  if (failure?.fail === 'error') {
    throw frameFailure(failure);
  }
  return c.json(toMessage(events));
}

/** Breaks the connection before anything is answered; without a connection, the body breaks at once. */
function drop(c: Context<ModelEnv>): Response {
  const { outgoing } = c.env;
  if (outgoing === undefined) return c.body(toBody([], { isCut: true, cut: undefined }));
  outgoing.destroy();
  return RESPONSE_ALREADY_SENT;
}

function cutOf(c: Context<ModelEnv>): Cut {
  const { outgoing } = c.env;
  return outgoing === undefined ? undefined : () => breakConnection(outgoing);
}

function isBeta(c: Context<ModelEnv>): boolean {
  return c.req.query('beta') === 'true' || c.req.header('anthropic-beta') !== undefined;
}

function refuseSize(): never {
  throw tooLarge('Request exceeds the maximum size');
}

function answerError(c: Context<ModelEnv>, error: Error, log: Logger | undefined): Response {
  const message = `The scripted model failed: ${error.message}`;
  const known = error instanceof ApiError ? error : new ApiError(500, 'api_error', message);
  const received = c.get('received');
  if (received !== undefined) received.error = known.message;
  log?.warn('request failed', { path: c.req.path, status: known.status, error: known.message });
  const headers = { 'content-type': 'application/json', ...known.headers };
  const body = JSON.stringify(toErrorBody(known, c.get('requestId')));
  return c.newResponse(body, { status: known.status as ContentfulStatusCode, headers });
}
