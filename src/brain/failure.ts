/** Sorts what can go wrong with a model request. The loop decides what to do about it. Pure. */
import { APIConnectionError, APIError, APIUserAbortError } from '@anthropic-ai/sdk';
import type { ModelFailure } from '../log.ts';

const LONGEST_MESSAGE = 1000;
const RETRYABLE_STATUS: ReadonlySet<number> = new Set([408, 409, 429]);
/** What an error frame can say that another try does not cure: it comes without a status. */
const FINAL_TYPES: ReadonlySet<string> = new Set([
  'invalid_request_error',
  'authentication_error',
  'permission_error',
  'not_found_error',
  'request_too_large',
]);

/** Turns any error of a model request into what the loop needs to know of it. */
export function toFailure(error: unknown): ModelFailure {
  const message = textOf(error).slice(0, LONGEST_MESSAGE);
  if (!(error instanceof APIError) || error instanceof APIUserAbortError) {
    // A stream that ends early surfaces as a plain error of the SDK or of the transport.
    return { kind: 'model_request_failed_error', message, retryable: true };
  }
  const kind = kindOf(error);
  const retryAfterMs = retryAfter(error.headers);
  return {
    kind,
    message,
    retryable: isRetryable(error, kind),
    ...(isTooLong(error, message) ? { tooLong: true } : {}),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

/** The prompt is over what the model, or the API, takes: a shorter one may pass. */
function isTooLong({ status, type }: APIError, message: string): boolean {
  if (status === 413) return true;
  return type === 'invalid_request_error' && /prompt is too long/i.test(message);
}

function kindOf(error: APIError): ModelFailure['kind'] {
  if (error.status === 429 || error.type === 'rate_limit_error') return 'model_rate_limited_error';
  if (error.status === 529 || error.type === 'overloaded_error') return 'model_overloaded_error';
  if (error.status === 402 || error.type === 'billing_error') return 'billing_error';
  return 'model_request_failed_error';
}

function isRetryable(error: APIError, kind: ModelFailure['kind']): boolean {
  const word = error.headers?.get('x-should-retry');
  if (word === 'true' || word === 'false') return word === 'true';
  if (error instanceof APIConnectionError || error.status === undefined) {
    return kind !== 'billing_error' && !FINAL_TYPES.has(error.type ?? '');
  }
  return error.status >= 500 || RETRYABLE_STATUS.has(error.status);
}

/** `retry-after-ms`, or `retry-after` in seconds or as a date. */
function retryAfter(headers: Headers | undefined): number | undefined {
  const ms = Number(headers?.get('retry-after-ms') ?? Number.NaN);
  if (Number.isFinite(ms)) return Math.max(0, ms);
  const text = headers?.get('retry-after');
  if (!text) return undefined;
  const seconds = Number(text);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

function textOf(error: unknown): string {
  if (error instanceof APIError) {
    const body = error.error as { error?: { message?: unknown } } | undefined;
    const inner = body?.error?.message;
    if (typeof inner === 'string') return inner;
  }
  return error instanceof Error ? error.message : String(error);
}
