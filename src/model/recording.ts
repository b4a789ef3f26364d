/** Recorded streams: `.sse` files in the real format, answered by the `replay` directive. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RawMessageStreamEvent } from '@anthropic-ai/sdk/resources/messages/messages';
import { derivedId } from './answer.ts';
import { illegal } from './error.ts';
import type { TimedEvent } from './events.ts';

/**
 * Reads a recording. Its ids are replaced by ones that follow from the conversation, since a conversation that holds
 * the same recording twice would otherwise use a tool id twice, which the API refuses.
 */
export async function readRecording(
  directory: string | undefined,
  name: string,
  conversation: string,
): Promise<TimedEvent[]> {
  if (directory === undefined)
    throw illegal(`replay: this model was started without recordings (wanted "${name}")`);
  const text = await readFile(join(directory, `${name}.sse`), 'utf8').catch(() => {
    throw illegal(`replay: there is no recording named "${name}"`);
  });
  return parseStream(text).map((event) => ({ event: withFreshId(event, conversation), delayMs: 0 }));
}

/** Parses the frames of a recorded stream. */
export function parseStream(text: string): RawMessageStreamEvent[] {
  return text
    .replaceAll('\r\n', '\n')
    .split('\n\n')
    .map((frame) => /^data: ?(?<data>.*)$/m.exec(frame)?.groups?.['data'])
    .filter((data) => data !== undefined)
    .map((data) => JSON.parse(data) as RawMessageStreamEvent);
}

function withFreshId(event: RawMessageStreamEvent, conversation: string): RawMessageStreamEvent {
  if (event.type === 'message_start') {
    return { ...event, message: { ...event.message, id: derivedId('msg', conversation, event.message.id) } };
  }
  if (event.type !== 'content_block_start' || event.content_block.type !== 'tool_use') return event;
  const { id } = event.content_block;
  return { ...event, content_block: { ...event.content_block, id: derivedId('toolu', conversation, id) } };
}
