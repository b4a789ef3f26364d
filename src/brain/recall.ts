/**
 * The tool by which Claude reads back what no longer stands in its context window: slices of its own session's log.
 * Offered only once something has been left out. Pure.
 */
import { z } from 'zod';
import type { Recall } from '../brain.ts';
import type { Entry } from '../log.ts';
import { toWire } from '../log.ts';
import type { OfferedTool } from './tools.ts';

/** The tool's name. A custom tool of the agent with the same name stands before it. */
export const RECALL_TOOL = 'read_session_log';

const MOST_EVENTS = 200;
const MOST_CHARS = 60_000;

const input = z.strictObject({
  from: z.int().min(0).optional().describe('First position, inclusive. Default: 0.'),
  to: z.int().min(0).optional().describe('Last position, exclusive. Default: the end of the log.'),
  types: z
    .array(z.string())
    .optional()
    .describe('Only events of these types, such as "user.message", "agent.message" or "agent.tool_result".'),
  order: z.enum(['asc', 'desc']).optional().describe('"desc" gives the newest first. Default: "asc".'),
});

/** The tool as the model is told of it. */
export const OFFERED_RECALL: OfferedTool = {
  name: RECALL_TOOL,
  description:
    'Reads events of this session back, by their position in its log, as JSON lines. Use it when something that was said ' +
    'or done earlier has been summed up or cleared from the conversation and its exact words matter.',
  input_schema: schemaOf(),
};

/** Reads a call's input: which slice it wants, and how the model is shown that. */
export function toRecall(value: unknown): Recall {
  const result = input.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    return { error: `${issue?.path.join('.') || 'input'}: ${issue?.message ?? 'not valid'}` };
  }
  const { from, to, types, order = 'asc' } = result.data;
  const slice = {
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(types === undefined ? {} : { types }),
    order,
  };
  return { slice, isEnough, show: (entries) => show(entries, order) };
}

/** One more than is shown, to know whether more follows. */
function isEnough(entries: readonly Entry[]): boolean {
  const chars = entries.reduce((sum, { event }) => sum + JSON.stringify(event).length, 0);
  return entries.length > MOST_EVENTS || (entries.length > 1 && chars > MOST_CHARS);
}

/** A line an event, and where to go on when not all of it fits. */
function show(entries: readonly Entry[], order: 'asc' | 'desc'): string {
  const lines: string[] = [];
  let chars = 0;
  for (const [index, entry] of entries.entries()) {
    const event = toWire(entry);
    if (!event) continue;
    const line = JSON.stringify({ position: entry.position, ...event });
    const isTooMuch = lines.length > 0 && chars + line.length > MOST_CHARS;
    if (isTooMuch || index >= MOST_EVENTS) {
      const next = order === 'asc' ? `"from": ${entry.position}` : `"to": ${entry.position + 1}`;
      return [...lines, `(More follows: ask again with ${next}.)`].join('\n');
    }
    lines.push(line.length > MOST_CHARS ? `${line.slice(0, MOST_CHARS)}… (cut)` : line);
    chars += line.length;
  }
  return lines.length > 0 ? lines.join('\n') : 'No events there.';
}

function schemaOf(): OfferedTool['input_schema'] {
  const { $schema: _, ...schema } = z.toJSONSchema(input) as Record<string, unknown>;
  return { ...schema, type: 'object' };
}
