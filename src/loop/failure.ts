/** What is written for an operation that ended without a result, and how often an engine tries before that. Pure. */
import { NO_USAGE, type Draft } from '../log.ts';
import { INTERRUPTED, type Operation } from '../loop.ts';

/** How an engine carries operations out. Failures of the model are results, and the loop retries them itself. */
export const OPERATION_POLICY = {
  /** Attempts in all; the last failure becomes the result. */
  attempts: 10,
  /** Between two attempts: doubles each time. */
  firstPauseMs: 100,
  longestPauseMs: 5000,
  /** An attempt may take so long. */
  withinMs: { model: 3_600_000, provision: 600_000, hand: 86_400_000, log: 60_000 },
} as const;

/** Why there is no result. */
export interface Failing {
  /** The user's interrupt came before it began. */
  readonly isCancelled: boolean;
  readonly reason: string;
}

/** The drafts that stand for the result. `id` gives ids of events; `spanId` is the model request's. */
export function failureDrafts(
  operation: Operation,
  spanId: string,
  { isCancelled, reason }: Failing,
  id: string,
): Draft[] {
  switch (operation.kind) {
    case 'model': {
      const failure = {
        kind: 'unknown_error',
        message: `The model request could not be run: ${reason}`,
        retryable: false,
      } as const;
      const end = { model_request_start_id: spanId, is_error: !isCancelled, model_usage: NO_USAGE } as const;
      const outcome = isCancelled
        ? ({ stop: 'interrupted' } as const)
        : ({ stop: 'failed', failure } as const);
      return [{ event: { id, type: 'span.model_request_end', ...end }, extra: { outcome } }];
    }
    case 'tool': {
      const text = isCancelled ? INTERRUPTED : `The tool could not be run: ${reason}`;
      const result = {
        tool_use_id: operation.callId,
        content: [{ type: 'text' as const, text }],
        is_error: true,
      };
      return [{ event: { id, type: 'agent.tool_result', ...result } }];
    }
    case 'provision':
      return [{ event: { id, type: 'x.hand_failed', reason: isCancelled ? 'interrupted' : reason } }];
    case 'timer':
      return [];
  }
}
