/** The one place where a thrown value becomes a response (wire-api section 2). */
import { HTTPException } from 'hono/http-exception';
import { StorageUnavailableError, UnstorableValueError } from '../storage-error.ts';
import { ApiError, invalidRequest, toErrorBody } from '../wire/error.ts';

/** Where the server writes what clients must not see. */
export interface Logger {
  error(message: string, fields: Readonly<Record<string, unknown>>): void;
}

/** What is known of the request that failed. */
export interface ProblemContext {
  readonly requestId: string;
  readonly logger: Logger;
  /** Method and path, for the log. */
  readonly request: string;
}

/** Turns any thrown value into an answer in the wire's envelope. What is not an ApiError is logged and hidden. */
export function toProblem(thrown: unknown, context: ProblemContext): Response {
  const error = toApiError(thrown, context);
  const headers = new Headers(error.headers);
  headers.set('content-type', 'application/json');
  headers.set('request-id', context.requestId);
  return new Response(JSON.stringify(toErrorBody(error, context.requestId)), {
    status: error.status,
    headers,
  });
}

function toApiError(thrown: unknown, { requestId, logger, request }: ProblemContext): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof HTTPException && thrown.status < 500) return invalidRequest(thrown.message);
  if (thrown instanceof UnstorableValueError)
    return invalidRequest('The request has a value that cannot be kept or looked for.');
  logger.error('request failed', { request, requestId, error: thrown });
  if (thrown instanceof StorageUnavailableError)
    return new ApiError(503, 'api_error', 'The server cannot reach its database at the moment.');
  return new ApiError(500, 'api_error', 'Internal server error');
}
