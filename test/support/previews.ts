/** Previews in tests: frames by their text, listeners that keep what they got. */
import { expect } from 'vitest';
import type { PreviewMessage, PreviewReceiver, PreviewSender } from '../../src/previews.ts';
import { eventually } from './eventually.ts';

export function delta(sessionId: string, spanId: string, text: string): PreviewMessage {
  const content = { type: 'text' as const, text };
  const delta = { type: 'content_delta' as const, index: 0, content };
  return { sessionId, spanId, frame: { type: 'event_delta', event_id: 'm', delta } };
}

const textOf = ({ frame }: PreviewMessage): string =>
  frame.type === 'event_delta' ? frame.delta.content.text : '';

/** What one listener got. A probe span shows when the way there is open: each try is a span of its own. */
export interface Heard {
  readonly got: PreviewMessage[];
  readonly stop: () => void;
  readonly texts: () => string[];
}

export function listenTo(receiver: PreviewReceiver, sessionId: string): Heard {
  const got: PreviewMessage[] = [];
  const stop = receiver.listen(sessionId, (message) => got.push(message));
  return { got, stop, texts: () => got.filter(({ spanId }) => !spanId.startsWith('probe')).map(textOf) };
}

let probes = 0;

/** Resolves once messages of the session get from the sender to the listener. */
export async function connected(sender: PreviewSender, sessionId: string, { got }: Heard): Promise<void> {
  const own = new Set<string>();
  await eventually(() => {
    probes += 1;
    own.add(`probe${probes}`);
    sender.send(delta(sessionId, `probe${probes}`, ''));
    expect(got.some(({ spanId }) => own.has(spanId))).toBe(true);
  });
}
