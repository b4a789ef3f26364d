/** Scripted failures: which one is due now, and what it does to a stream. */
import type { FailLine } from './directives.ts';
import { ApiError, toErrorBody, type ErrorType } from '../wire/error.ts';
import { errorStatus, errorType } from './error.ts';
import type { TimedEvent } from './events.ts';

const KEPT_COUNTS = 20_000;

const MESSAGES: Partial<Readonly<Record<ErrorType, string>>> = {
  overloaded_error: 'Overloaded',
  rate_limit_error: 'This request would exceed the rate limit of the account.',
  api_error: 'Internal server error',
};

/** Counts the tries of `fail` lines with `times`: the one thing the model remembers. */
export interface FailureCounter {
  /** The failure that is due, if any; being due uses up one of its times. */
  due(failures: readonly FailLine[], step: { conversation: string; index: number }): FailLine | undefined;
}

/** Makes a counter. It forgets the oldest counts once it holds very many. */
export function createFailureCounter(): FailureCounter {
  const counts = new Map<string, number>();
  return {
    due(failures, { conversation, index }) {
      for (const [at, failure] of failures.entries()) {
        if (failure.times === undefined) return failure;
        const scope = failure.id === undefined ? `conversation:${conversation}` : `id:${failure.id}`;
        const key = `${scope}:${index}:${at}`;
        const used = counts.get(key) ?? 0;
        if (used >= failure.times) continue;
        counts.set(key, used + 1);
        const [oldest] = counts.keys();
        if (counts.size > KEPT_COUNTS && oldest !== undefined) counts.delete(oldest);
        return failure;
      }
      return undefined;
    },
  };
}

/** Makes the HTTP error of a `fail` line that names a status. */
export function httpFailure(failure: Extract<FailLine, { fail: number }>): ApiError {
  const headers: Record<string, string> = {};
  if (failure.retryAfter !== undefined) headers['retry-after'] = String(failure.retryAfter);
  if (failure.shouldRetry !== undefined) headers['x-should-retry'] = String(failure.shouldRetry);
  const type = failure.type ?? errorType(failure.fail);
  return new ApiError(failure.fail, type, failure.message ?? defaultMessage(type), { headers });
}

/** Makes the error of a `fail` line that asks for an error frame. */
export function frameFailure({ type, message }: Extract<FailLine, { fail: 'error' }>): ApiError {
  return new ApiError(errorStatus(type), type, message ?? defaultMessage(type));
}

function defaultMessage(type: ErrorType): string {
  return MESSAGES[type] ?? `The script asked for this ${type}.`;
}

/** Ends a stream early: after some deltas, with an error frame or with nothing at all. */
export function breakOff(
  events: readonly TimedEvent[],
  failure: Extract<FailLine, { fail: 'error' | 'cut' }>,
  requestId: string,
): TimedEvent[] {
  const deltas = events.flatMap(({ event }, at) => (event.type === 'content_block_delta' ? [at] : []));
  const wanted = Math.min(failure.after ?? Math.ceil(deltas.length / 2), deltas.length);
  const lastKept =
    wanted === 0 ? events.findIndex(({ event }) => event.type === 'ping') : (deltas[wanted - 1] ?? 0);
  const kept = events.slice(0, lastKept + 1);
  if (failure.fail === 'cut') return kept;
  return [...kept, { event: toErrorBody(frameFailure(failure), requestId), delayMs: 0 }];
}
