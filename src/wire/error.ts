/**
 * Errors on the wire (wire-api section 2): one class, the envelope, and a constructor for each kind that the server
 * throws. Pure: turning any thrown value into a response is the business of `src/http/problem.ts`.
 */

/** The wire's kinds of errors. */
export type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'billing_error'
  | 'permission_error'
  | 'not_found_error'
  | 'conflict_error'
  | 'request_too_large'
  | 'rate_limit_error'
  | 'api_error'
  | 'timeout_error'
  | 'overloaded_error';

/** Machine-readable detail. `error_code` is what the SDK picks its typed error class by. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/** The envelope of every answer that is not 2xx, and the body of an SSE `error` frame. */
export interface ErrorBody {
  type: 'error';
  error: { type: ErrorType; message: string; details?: ErrorDetails };
  request_id: string;
}

/** What an error may carry beside its kind and message. */
export interface ApiErrorOptions {
  /** Becomes `details.error_code`. */
  readonly errorCode?: string;
  readonly details?: ErrorDetails;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer that a client is meant to see. Anything else that is thrown becomes a 500 that says nothing. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly type: ErrorType;
  readonly details: ErrorDetails | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, type: ErrorType, message: string, options: ApiErrorOptions = {}) {
    super(message);
    this.status = status;
    this.type = type;
    this.headers = options.headers ?? {};
    this.details =
      options.errorCode === undefined
        ? options.details
        : { error_code: options.errorCode, ...options.details };
  }
}

/** 400: the request is wrong, or the thing's state refuses it. */
export function invalidRequest(message: string, options?: ApiErrorOptions): ApiError {
  return new ApiError(400, 'invalid_request_error', message, options);
}

/** 401: no key, or one that is not known. */
export function unauthenticated(message: string): ApiError {
  return new ApiError(401, 'authentication_error', message);
}

/** 404: unknown, or another workspace's, which is the same to the caller. */
export function notFound(message: string, options?: ApiErrorOptions): ApiError {
  return new ApiError(404, 'not_found_error', message, options);
}

/** 409 that trying again cannot cure: without the header the SDK would repeat the call twice (wire-api section 1.5). */
export function conflict(message: string, options: ApiErrorOptions = {}): ApiError {
  return new ApiError(409, 'conflict_error', message, {
    ...options,
    headers: { 'x-should-retry': 'false', ...options.headers },
  });
}

/** 413: the body is over the limit. */
export function tooLarge(message: string): ApiError {
  return new ApiError(413, 'request_too_large', message);
}

/** 429: come back after the given time. */
export function rateLimited(message: string, retryAfterSeconds: number): ApiError {
  return new ApiError(429, 'rate_limit_error', message, {
    headers: { 'retry-after': String(retryAfterSeconds) },
  });
}

/** 529: nothing is wrong with the request, but what it needs is not to be had now. */
export function overloaded(message: string): ApiError {
  return new ApiError(529, 'overloaded_error', message);
}

/** The envelope of an error. */
export function toErrorBody(error: ApiError, requestId: string): ErrorBody {
  const { type, message, details } = error;
  return {
    type: 'error',
    error: details === undefined ? { type, message } : { type, message, details },
    request_id: requestId,
  };
}
