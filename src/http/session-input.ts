/** Events in a request body: checked one by one, and turned into what the log takes. */
import type { z } from 'zod';
import { newId } from '../id.ts';
import type { Draft } from '../log.ts';
import { invalidRequest } from '../wire/error.ts';
import { eventParams, toEvent, UNSUPPORTED_EVENTS, type EventParams } from '../wire/event-params.ts';
import { parse } from '../wire/parse.ts';

/** Checks events one by one, so that the message names the index. `field`: where they stand in the body. */
export function parseEvents(
  events: readonly unknown[],
  field: string,
  schema: z.ZodType<EventParams> = eventParams,
): EventParams[] {
  return events.map((event, index) => {
    const type = (event as { type?: unknown } | null)?.type;
    const why = typeof type === 'string' ? UNSUPPORTED_EVENTS[type] : undefined;
    if (why !== undefined)
      throw invalidRequest(`Invalid ${String(type)} event at ${field}[${index}]: ${why}`);
    return parse(schema, event, [field, index]);
  });
}

/** What goes into the log, with fresh ids. */
export function toDrafts(events: readonly EventParams[]): Draft[] {
  return events.map((params, index): Draft => {
    const event = toEvent(params, newId('sevt'));
    const withResult =
      event.type === 'system.message' && events[index - 1]?.type === 'user.custom_tool_result';
    return withResult ? { event, extra: { withResult } } : { event };
  });
}
