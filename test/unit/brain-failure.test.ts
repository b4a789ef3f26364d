import Anthropic, {
  APIConnectionError,
  APIConnectionTimeoutError,
  APIError,
  APIUserAbortError,
  AnthropicError,
} from '@anthropic-ai/sdk';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { toFailure } from '../../src/brain/failure.ts';

/** The error that the SDK really makes of such an answer. */
async function answered(
  status: number,
  type: string,
  headers: Record<string, string> = {},
): Promise<unknown> {
  const body = JSON.stringify({
    type: 'error',
    error: { type, message: `about ${type}` },
    request_id: 'req_1',
  });
  const client = new Anthropic({
    apiKey: 'key',
    maxRetries: 0,
    fetch: async () =>
      new Response(body, { status, headers: { 'content-type': 'application/json', ...headers } }),
  });
  try {
    await client.beta.messages.create({
      model: 'm',
      max_tokens: 1,
      messages: [{ role: 'user', content: 'hi' }],
    });
  } catch (error) {
    return error;
  }
  throw new Error('the call was expected to fail');
}

function framed(type: string): APIError {
  const body = { type: 'error', error: { type, message: `about ${type}` } };
  return new APIError(undefined, body, undefined, new Headers(), type as never);
}

describe('an answer of the model API', () => {
  test.each([
    [400, 'invalid_request_error', 'model_request_failed_error', false],
    [401, 'authentication_error', 'model_request_failed_error', false],
    [402, 'billing_error', 'billing_error', false],
    [403, 'permission_error', 'model_request_failed_error', false],
    [404, 'not_found_error', 'model_request_failed_error', false],
    [408, 'timeout_error', 'model_request_failed_error', true],
    [409, 'conflict_error', 'model_request_failed_error', true],
    [413, 'request_too_large', 'model_request_failed_error', false],
    [429, 'rate_limit_error', 'model_rate_limited_error', true],
    [500, 'api_error', 'model_request_failed_error', true],
    [502, 'api_error', 'model_request_failed_error', true],
    [503, 'api_error', 'model_request_failed_error', true],
    [504, 'timeout_error', 'model_request_failed_error', true],
    [529, 'overloaded_error', 'model_overloaded_error', true],
  ] as const)('%i %s is %s, retryable: %s', async (status, type, kind, retryable) => {
    expect(toFailure(await answered(status, type))).toEqual({
      kind,
      retryable,
      message: `about ${type}`,
      ...(status === 413 ? { tooLong: true } : {}),
    });
  });

  test('that names an overload under another status is an overload', async () => {
    expect(toFailure(await answered(500, 'overloaded_error'))).toMatchObject({
      kind: 'model_overloaded_error',
    });
  });

  test('is believed when it says whether to try again', async () => {
    const told = async (status: number, word: string) =>
      toFailure(await answered(status, 'api_error', { 'x-should-retry': word })).retryable;
    expect(await told(400, 'true')).toBe(true);
    expect(await told(529, 'false')).toBe(false);
    expect(await told(529, 'perhaps')).toBe(true);
    expect(await told(400, 'perhaps')).toBe(false);
  });
});

describe('the time to wait', () => {
  afterEach(() => void vi.useRealTimers());

  test.each([
    [{ 'retry-after': '7' }, 7000],
    [{ 'retry-after': '0.5' }, 500],
    [{ 'retry-after': '0' }, 0],
    [{ 'retry-after': '-3' }, 0],
    [{ 'retry-after-ms': '250', 'retry-after': '7' }, 250],
    [{ 'retry-after-ms': 'soon', 'retry-after': '7' }, 7000],
    [{ 'retry-after': 'Mon, 23 Nov 2026 12:00:30 GMT' }, 30_000],
    [{ 'retry-after': 'Mon, 23 Nov 2026 11:00:00 GMT' }, 0],
    [{ 'retry-after': 'tomorrow or so' }, undefined],
    [{}, undefined],
  ] as const)('of %j is %s ms', async (headers, retryAfterMs) => {
    const error = await answered(429, 'rate_limit_error', headers);
    vi.useFakeTimers({ now: Date.parse('2026-11-23T12:00:00Z'), toFake: ['Date'] });
    expect(toFailure(error).retryAfterMs).toBe(retryAfterMs);
  });
});

describe('an error frame in the stream', () => {
  test.each([
    ['overloaded_error', 'model_overloaded_error', true],
    ['rate_limit_error', 'model_rate_limited_error', true],
    ['api_error', 'model_request_failed_error', true],
    ['timeout_error', 'model_request_failed_error', true],
    ['something_new_error', 'model_request_failed_error', true],
    ['invalid_request_error', 'model_request_failed_error', false],
    ['authentication_error', 'model_request_failed_error', false],
    ['permission_error', 'model_request_failed_error', false],
    ['not_found_error', 'model_request_failed_error', false],
    ['request_too_large', 'model_request_failed_error', false],
    ['billing_error', 'billing_error', false],
  ] as const)('%s is %s, retryable: %s', (type, kind, retryable) => {
    expect(toFailure(framed(type))).toEqual({ kind, retryable, message: `about ${type}` });
  });
});

describe('anything else', () => {
  test.each([
    new APIConnectionError({ message: 'refused' }),
    new APIConnectionTimeoutError({ message: 'too slow' }),
    new APIUserAbortError({ message: 'aborted' }),
    new AnthropicError('stream ended without producing a Message with role=assistant'),
    new TypeError('terminated'),
    'a plain text',
    undefined,
  ])('is tried again: %s', (error) => {
    const failure = toFailure(error);
    expect(failure).toMatchObject({ kind: 'model_request_failed_error', retryable: true });
    expect(failure.message).not.toBe('');
  });

  test('has a message of bounded length', () => {
    expect(toFailure(new Error('x'.repeat(100_000))).message).toHaveLength(1000);
  });

  test('an answer that is no JSON is told as it is', async () => {
    const client = new Anthropic({
      apiKey: 'key',
      maxRetries: 0,
      fetch: async () => new Response('<html>', { status: 502 }),
    });
    const error: unknown = await client.models.list().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(toFailure(error)).toMatchObject({ retryable: true, message: expect.stringContaining('<html>') });
  });
});
