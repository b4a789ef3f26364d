/**
 * Compaction: the model sums a conversation up that has filled its window, and later requests hold the summary in
 * place of what it stands for. The log keeps everything, so that a compaction can be made again with other settings.
 * Pure.
 */
import type { CompactOrder, Compaction, ContextPolicy, Entry } from '../log.ts';
import { precede, toMessages, type Message } from './messages.ts';
import { clearAll, windowOf } from './window.ts';

/** What the model is asked for. The scripted model knows a request for a summary by its first sentence. */
export const SUMMARY_REQUEST =
  'Sum this conversation up so that it can go on without what came before. You will go on from your summary alone, so ' +
  'write down everything that still matters: what the user asked for and any wishes about how; what has been done ' +
  'and found out, with exact names, paths, numbers and commands; decisions and their reasons; what failed; what is ' +
  'still to be done, and the very next step. Answer with the summary only. Do not call any tool.';

const SUMMARY_TAG = 'summary_of_earlier_conversation';

/** What the summary stands for, and the messages to make it from; undefined: there is nothing to sum up. */
export function toCompact(
  entries: readonly Entry[],
  order: CompactOrder,
  { policy, startsWithThought }: { policy: ContextPolicy; startsWithThought: boolean },
): { readonly through: number; readonly messages: Message[] } | undefined {
  // Where so many answers leave nothing to sum up, fewer are kept.
  for (let keep = order.keepAnswers; keep >= 0; keep -= 1) {
    const through = lastCovered(entries, keep, startsWithThought);
    const covered = entries.filter(({ position }) => position <= through);
    // A client's wish is for a summary made anew, from the log itself.
    const window = windowOf(covered, policy, order.requests.length > 0);
    const cleared = order.trim > 0 ? clearAll(window.entries) : window.cleared;
    const messages = precede(summaryMessage(window.summary), toMessages(window.entries, cleared));
    if (messages.length > 0)
      return { through, messages: withRequest(dropMiddle(messages, order.trim, startsWithThought)) };
  }
  return undefined;
}

/** The message that a summary is in a later request. */
export function summaryMessage(compaction: Compaction | undefined): Message[] {
  if (!compaction) return [];
  const { summary, through } = compaction;
  const text =
    `<${SUMMARY_TAG}>\n${summary}\n</${SUMMARY_TAG}>\n\nThe conversation up to here was summed up to save space. ` +
    `Its events stand in the log of this session at the positions 0 to ${through}. Go on from here.`;
  return [{ role: 'user', content: [{ type: 'text', text }] }];
}

/**
 * The last position that the summary stands for: right before the answers that are kept; without any, the last thing
 * that was said or done before the messages that still wait for an answer. -1: there is none.
 */
function lastCovered(entries: readonly Entry[], keepAnswers: number, startsWithThought: boolean): number {
  const answers = answersOf(entries);
  const kept = keepAnswers === 0 ? [] : answers.slice(-keepAnswers);
  const first = kept.find(({ isThought }) => isThought || !startsWithThought);
  if (first) return first.from - 1;
  const result = entries.findLast(
    ({ event: { type } }) => type === 'agent.tool_result' || type === 'user.custom_tool_result',
  );
  return Math.max(answers.at(-1)?.to ?? -1, result?.position ?? -1);
}

/** The spans of the answers that said or did something, and whether they begin with a thought. */
function answersOf(entries: readonly Entry[]): { from: number; to: number; isThought: boolean }[] {
  const answers: { from: number; to: number; isThought: boolean }[] = [];
  let from = 0;
  let first: string | undefined;
  for (const { event, position } of entries) {
    if (event.type === 'span.model_request_start') [from, first] = [position, undefined];
    else if (event.type === 'span.model_request_end' && first !== undefined)
      answers.push({ from, to: position, isThought: first === 'agent.thinking' });
    else if (SPOKEN_TYPES.has(event.type)) first ??= event.type;
  }
  return answers;
}

const SPOKEN_TYPES: ReadonlySet<string> = new Set([
  'agent.thinking',
  'agent.message',
  'agent.tool_use',
  'agent.custom_tool_use',
]);

/** Leaves out half of the messages, three quarters, seven eighths: those behind the first, which says what it is about. */
function dropMiddle(
  messages: readonly Message[],
  trim: number,
  startsWithThought: boolean,
): readonly Message[] {
  if (trim < 2) return messages;
  const from = Math.max(1, Math.floor(messages.length * (1 - 0.5 ** (trim - 1))));
  const mayFollow = ({ role, content }: Message): boolean =>
    role === 'assistant' && (!startsWithThought || content[0]?.type.endsWith('thinking') === true);
  const start = messages.findIndex((message, index) => index >= from && mayFollow(message));
  return [...messages.slice(0, 1), ...(start === -1 ? [] : messages.slice(start))];
}

function withRequest(messages: readonly Message[]): Message[] {
  const request = { type: 'text' as const, text: SUMMARY_REQUEST };
  return precede(messages, [{ role: 'user', content: [request] }]);
}
