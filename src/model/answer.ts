/** Turns a step into the blocks of an answer: ids, signatures, and the cut where `max_tokens` or a stop sequence says. */
import { createHash } from 'node:crypto';
import { toId } from '../wire/id.ts';
import type { Pace, Step, StopLine } from './directives.ts';
import type { NextStep } from './script.ts';
import type { MessagesRequest } from './shape.ts';
import { signThinking } from './signature.ts';
import { textTokens, withoutMarks } from './tokens.ts';

/** A block of the answer as it will be streamed. `json` is the text of a tool's input, cut short where tokens ran out. */
export type AnswerBlock = Pace &
  (
    | { readonly type: 'text'; readonly text: string }
    | { readonly type: 'thinking'; readonly text: string; readonly signature: string }
    | { readonly type: 'tool_use'; readonly id: string; readonly name: string; readonly json: string }
  );
/** A pause between two blocks; with `hold`, until that is released. */
interface Pause {
  readonly type: 'pause';
  readonly delayMs: number;
  readonly hold?: string;
}

/** Everything the model says in one response. */
export interface Answer {
  readonly id: string;
  readonly model: string;
  readonly items: readonly (AnswerBlock | Pause)[];
  readonly stop: Omit<StopLine, 'stop'> & { readonly stop: StopLine['stop'] | 'tool_use' };
  readonly stopSequence: string | null;
  readonly outputTokens: number;
  readonly thinkingTokens: number;
}

/**
 * Identifies what has been said so far, so that the same question gets the same ids again. Nothing that only
 * concerns the transport or the price is in it.
 */
export function conversationHash({ model, system, messages }: MessagesRequest): string {
  return createHash('sha256')
    .update(withoutMarks([model, system, messages]))
    .digest('hex');
}

/** Makes an id that follows from the conversation. */
export function derivedId(prefix: 'msg' | 'toolu', conversation: string, part: string): string {
  return toId(prefix, createHash('sha256').update(`${conversation}:${part}`).digest('hex').slice(0, 32));
}

/** Builds the answer to a request. */
export function buildAnswer(request: MessagesRequest, next: NextStep): Answer {
  const conversation = conversationHash(request);
  const drafts = draft(withOpeningThought(request, next), request, conversation);
  const { items, ended } = cutShort(drafts, request);
  const blocks = items.filter((item) => item.type !== 'pause');
  const thinkingTokens = sum(blocks.filter(({ type }) => type === 'thinking'));
  return {
    id: derivedId('msg', conversation, 'message'),
    model: request.model,
    items,
    stop: ended?.stop ?? next.step.stop ?? defaultStop(blocks),
    stopSequence: ended?.stopSequence ?? null,
    outputTokens: Math.max(1, sum(blocks)),
    thinkingTokens,
  };
}

function defaultStop(blocks: readonly AnswerBlock[]): Answer['stop'] {
  return { stop: blocks.some(({ type }) => type === 'tool_use') ? 'tool_use' : 'end_turn' };
}

/**
 * With a thinking budget set, the real model opens a turn with a thought, and the API insists on getting it back.
 * So a turn that is going to call tools must not begin without one, whatever the script forgot.
 */
function withOpeningThought({ thinking, messages }: MessagesRequest, { step }: NextStep): Step['parts'] {
  const opensTurn = messages.at(-1)?.content.every(({ type }) => type !== 'tool_result') === true;
  const needed = thinking?.type === 'enabled' && opensTurn && step.parts.some(({ kind }) => kind === 'calls');
  const first = step.parts.find(({ kind }) => kind !== 'delay' && kind !== 'hold');
  if (!needed || first?.kind === 'think') return step.parts;
  return [{ kind: 'think', text: 'The script calls a tool.' }, ...step.parts];
}

function draft(
  parts: Step['parts'],
  request: MessagesRequest,
  conversation: string,
): (AnswerBlock | Pause)[] {
  const { thinking } = request;
  const thinks = thinking?.type === 'enabled' || thinking?.type === 'adaptive';
  const omitted = thinks && thinking.display === 'omitted';
  return parts.flatMap((part, at): (AnswerBlock | Pause)[] => {
    switch (part.kind) {
      case 'delay':
        return [{ type: 'pause', delayMs: part.delayMs }];
      case 'hold':
        return [{ type: 'pause', delayMs: 0, hold: part.hold }];
      case 'say':
        return [{ type: 'text', text: part.text, ...paceOf(part) }];
      case 'think': {
        const shown = omitted ? '' : part.text;
        const signature = signThinking(part.text, shown);
        return thinks ? [{ type: 'thinking', text: shown, signature, ...paceOf(part) }] : [];
      }
      case 'calls':
        return part.calls.map(({ call, input }, i) => ({
          type: 'tool_use',
          id: derivedId('toolu', conversation, `${at}.${i}`),
          name: call,
          json: JSON.stringify(input),
          ...paceOf(part),
        }));
    }
  });
}

function paceOf({ chunkDelayMs, chunkChars }: Pace): Pace {
  return { chunkDelayMs, chunkChars };
}

type Ended = Pick<Answer, 'stop' | 'stopSequence'>;

/** Ends the answer where a stop sequence comes up or the tokens run out, in the middle of a block if need be. */
function cutShort(items: readonly (AnswerBlock | Pause)[], request: MessagesRequest) {
  const kept: (AnswerBlock | Pause)[] = [];
  let left = request.max_tokens;
  for (const item of items) {
    if (item.type === 'pause') {
      kept.push(item);
      continue;
    }
    const stopped = atStopSequence(item, request.stop_sequences ?? []);
    const block = stopped === undefined ? item : stopped.block;
    const tokens = textTokens(contentOf(block));
    if (tokens > left) {
      const rest = shorten(block, left * 4);
      if (contentOf(rest).trim() !== '') kept.push(rest);
      return { items: kept, ended: { stop: { stop: 'max_tokens' }, stopSequence: null } satisfies Ended };
    }
    left -= tokens;
    if (contentOf(block) !== '' || block.type !== 'text') kept.push(block);
    if (stopped !== undefined) {
      return {
        items: kept,
        ended: { stop: { stop: 'stop_sequence' }, stopSequence: stopped.by } satisfies Ended,
      };
    }
  }
  return { items: kept, ended: undefined };
}

function atStopSequence(block: AnswerBlock, sequences: readonly string[]) {
  if (block.type !== 'text') return undefined;
  const first = sequences
    .map((by) => ({ by, at: block.text.indexOf(by) }))
    .filter(({ at }) => at !== -1)
    .toSorted((a, b) => a.at - b.at)[0];
  if (first === undefined) return undefined;
  return { block: shorten(block, first.at), by: first.by };
}

function contentOf(block: AnswerBlock): string {
  return block.type === 'tool_use' ? block.json : block.text;
}

function shorten(block: AnswerBlock, chars: number): AnswerBlock {
  if (block.type === 'tool_use') return { ...block, json: block.json.slice(0, chars) };
  const text = block.text.slice(0, chars);
  return block.type === 'thinking'
    ? { ...block, text, signature: signThinking(text, text) }
    : { ...block, text };
}

function sum(blocks: readonly AnswerBlock[]): number {
  return blocks.reduce((total, block) => total + textTokens(contentOf(block)), 0);
}
