/** Errors of the scripted model: which kind goes with which status (wire-api section 2). */
import { ApiError, type ErrorType } from '../wire/error.ts';

const STATUS: Readonly<Record<ErrorType, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  conflict_error: 409,
  request_too_large: 413,
  rate_limit_error: 429,
  api_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
};

/** The kinds of errors that a script can ask for. */
export const ERROR_TYPES = Object.keys(STATUS) as ErrorType[];

/** Makes the error for a request that breaks a rule of the Messages API, or a script that makes no sense. */
export function illegal(message: string): ApiError {
  return new ApiError(400, 'invalid_request_error', message);
}

/** The error kind that goes with an HTTP status. */
export function errorType(status: number): ErrorType {
  const found = ERROR_TYPES.find((type) => STATUS[type] === status);
  return found ?? (status >= 500 ? 'api_error' : 'invalid_request_error');
}

/** The HTTP status that goes with an error kind. */
export function errorStatus(type: ErrorType): number {
  return STATUS[type];
}
