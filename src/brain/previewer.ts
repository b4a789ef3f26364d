/** Previews of an answer while it comes. */
import type { BetaRawMessageStreamEvent } from '@anthropic-ai/sdk/resources/beta/messages/messages';
import type { Thought } from '../brain.ts';
import type { TextBlock } from '../wire/event.ts';

/** Shows an answer while it comes, and knows the ids under which its events will be written. */
export interface Previewer {
  show(event: BetaRawMessageStreamEvent): void;
  readonly messageId: string;
  thinkingId(block: number): string;
}

/** Shows text as it comes. Event ids are fixed here, before the model has answered. */
export function createPreviewer({ newId, preview }: Thought): Previewer {
  const messageId = newId();
  const thinkingIds = new Map<number, string>();
  const textBlocks: number[] = [];
  const thinkingId = (block: number): string => {
    const id = thinkingIds.get(block) ?? newId();
    thinkingIds.set(block, id);
    return id;
  };
  return {
    messageId,
    thinkingId,
    show(event) {
      if (event.type === 'content_block_start' && isThinking(event.content_block)) {
        preview({ type: 'event_start', event: { type: 'agent.thinking', id: thinkingId(event.index) } });
      }
      if (
        event.type !== 'content_block_delta' ||
        event.delta.type !== 'text_delta' ||
        event.delta.text === ''
      )
        return;
      if (textBlocks.length === 0)
        preview({ type: 'event_start', event: { type: 'agent.message', id: messageId } });
      if (!textBlocks.includes(event.index)) textBlocks.push(event.index);
      const content: TextBlock = { type: 'text', text: event.delta.text };
      const delta = { type: 'content_delta' as const, index: textBlocks.indexOf(event.index), content };
      preview({ type: 'event_delta', event_id: messageId, delta });
    },
  };
}

/** Whether a block is a thought, shown or redacted. */
export function isThinking(block: { type: string }): boolean {
  return block.type === 'thinking' || block.type === 'redacted_thinking';
}
