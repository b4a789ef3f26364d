/** Finds out what the model is to answer: a pure function of the conversation. */
import { SUMMARY_REQUEST } from '../brain/compaction.ts';
import {
  hasDirectives,
  readSettings,
  readSteps,
  scriptFrom,
  withoutDirectives,
  type CallLine,
  type Part,
  type Step,
} from './directives.ts';
import { illegal } from './error.ts';
import { isJudgeRequest, judgeStep } from './judge.ts';
import { toolResults } from './rules.ts';
import type { Message, MessagesRequest, Tool, ToolResultBlock } from './shape.ts';

const ECHO_CHARS = 400;

/** The step to be answered now, placeholders filled in, and which step of its script it is. */
export interface NextStep {
  readonly step: Step;
  readonly index: number;
}

/** Picks the next step. Throws ApiError where the script and the request do not fit together. */
export function nextStep(request: MessagesRequest): NextStep {
  if (isJudgeRequest(request)) return { step: judgeStep(request), index: 0 };
  const { messages } = request;
  const at = findScript(messages);
  const script = messages[at];
  const steps = script === undefined ? [] : readSteps(ownText(script));
  const index = countAnswers(messages.slice(at + 1), steps);
  if (asksForSummary(messages.at(-1)))
    return { step: summaryStep(messages, ownTextAt(messages, at), index), index };
  const previous = at === -1 ? undefined : steps[index - 1];
  checkEnd(messages, previous);
  const step = steps[index] ?? unscripted(request, steps, at);
  return { step: fit(fill(step, messages), request), index };
}

/** The longest prompt that the conversation's script lets pass, in tokens; undefined: as long as one likes. */
export function windowLimit({ messages }: MessagesRequest): number | undefined {
  return readSettings(ownTextAt(messages, findScript(messages))).window;
}

function findScript(messages: readonly Message[]): number {
  return messages.findLastIndex((message) => message.role === 'user' && hasDirectives(ownText(message)));
}

function ownTextAt(messages: readonly Message[], at: number): string {
  const message = messages[at];
  return message === undefined ? '' : ownText(message);
}

function asksForSummary(message: Message | undefined): boolean {
  return message?.role === 'user' && ownText(message).endsWith(SUMMARY_REQUEST);
}

/** A summary that the script can go on from: what is left of it stands in the summary. */
function summaryStep(messages: readonly Message[], script: string, done: number): Step {
  const { summary = { text: 'Scripted summary of {{count}} messages.' } } = readSettings(script);
  const { text, ...pace } = summary;
  const words = text.replace('{{count}}', String(messages.length));
  return {
    parts: [{ kind: 'say', text: `${words}\n\n${scriptFrom(script, done)}`.trim(), ...pace }],
    failures: [],
  };
}

/**
 * How many answers the conversation holds since the script. Each is one assistant message, except that a harness may
 * have joined the parts of a paused turn into one: then what is left over belongs to the next step.
 */
function countAnswers(messages: readonly Message[], steps: readonly Step[]): number {
  let count = 0;
  for (const { role, content } of messages) {
    if (role !== 'assistant') continue;
    let left = content.filter(({ type }) => type === 'text' || type === 'tool_use').length;
    for (let step = steps[count]; step?.stop?.stop === 'pause_turn'; step = steps[count]) {
      left -= lastingBlocks(step);
      if (left <= 0) break;
      count += 1;
    }
    count += 1;
  }
  return count;
}

function lastingBlocks({ parts }: Step): number {
  return parts.reduce(
    (sum, part) => sum + (part.kind === 'say' ? 1 : part.kind === 'calls' ? part.calls.length : 0),
    0,
  );
}

/** A prompt ends with the user, but for a turn that the model itself has paused. */
function checkEnd(messages: readonly Message[], previous: Step | undefined): void {
  if (messages.at(-1)?.role !== 'assistant' || previous?.stop?.stop === 'pause_turn') return;
  throw illegal(
    'This model does not support assistant message prefill. The conversation must end with a user message.',
  );
}

/** What to say where no script says it: at the end of one, or without any. */
function unscripted(
  { messages, output_config: output }: MessagesRequest,
  steps: readonly Step[],
  at: number,
): Step {
  const last = messages.at(-1);
  const said = last === undefined || messages.length - 1 === at ? '' : withoutDirectives(ownText(last));
  if (said !== '' || (steps.length === 0 && (last === undefined || toolResults(last).length === 0))) {
    if (output?.format !== undefined && output.format !== null) {
      throw illegal(
        'output_config.format: the scripted model needs a `say` directive to answer in a format.',
      );
    }
    return { parts: [{ kind: 'say', text: echo(said) }], failures: [] };
  }
  const lastSay = steps.flatMap(({ parts }) => parts).findLast((part) => part.kind === 'say');
  return { parts: [lastSay ?? { kind: 'say', text: 'Done. The last tool said: {{result}}' }], failures: [] };
}

function echo(said: string): string {
  const short = said.length > ECHO_CHARS ? `${said.slice(0, ECHO_CHARS)}…` : said;
  const heard = short === '' ? '' : ` You said: ${short}`;
  return `This is the scripted model that comes with Drover, not Claude: it answers by directives.${heard}`;
}

/** Makes the calls of a step fit what the request allows. */
function fit(step: Step, request: MessagesRequest): Step {
  const { tools, tool_choice: choice } = request;
  const mayCall = tools.length > 0 && choice?.type !== 'none';
  const single =
    choice !== undefined && 'disable_parallel_tool_use' in choice && choice.disable_parallel_tool_use;
  const parts = step.parts.flatMap((part): Part[] => {
    if (part.kind !== 'calls') return [part];
    if (!mayCall)
      return [{ kind: 'say', text: `(No tool may be called here: ${part.calls[0]?.call ?? ''})` }];
    const calls = single === true ? part.calls.slice(0, 1) : part.calls;
    for (const call of calls) checkOffered(call, tools);
    return [{ ...part, calls }];
  });
  const forced = step.stop === undefined && step.replay === undefined ? forcedTool(request) : undefined;
  if (forced === undefined || parts.some(({ kind }) => kind === 'calls')) return { ...step, parts };
  return {
    ...step,
    parts: [...parts, { kind: 'calls', calls: [{ call: forced, input: {}, unoffered: false }] }],
  };
}

function checkOffered({ call, unoffered }: CallLine, tools: readonly Tool[]): void {
  if (unoffered || tools.some(({ name }) => name === call)) return;
  const offered = tools.flatMap(({ name }) => (name === undefined ? [] : [name])).join(', ');
  throw illegal(`drover directives: the script calls \`${call}\`, but the request only offers ${offered}`);
}

function forcedTool({ tools, tool_choice: choice }: MessagesRequest): string | undefined {
  if (choice?.type === 'tool') return choice.name;
  return choice?.type === 'any' ? tools.find(({ name }) => name !== undefined)?.name : undefined;
}

function fill(step: Step, messages: readonly Message[]): Step {
  const lastRound = messages.findLast((message) => toolResults(message).length > 0);
  const results = lastRound === undefined ? [] : toolResults(lastRound).map((block) => resultText(block));
  const asked = messages.findLast((message) => message.role === 'user' && ownText(message) !== '');
  const values: Readonly<Record<string, string>> = {
    result: results.at(-1) ?? '',
    results: results.join('\n'),
    message: asked === undefined ? '' : withoutDirectives(ownText(asked)),
  };
  const inText = (text: string) =>
    text.replaceAll(/\{\{(?<name>\w+)\}\}/g, (whole, name: string) => values[name] ?? whole);
  const parts = step.parts.map((part): Part => {
    if (part.kind === 'delay' || part.kind === 'hold') return part;
    if (part.kind !== 'calls') return { ...part, text: inText(part.text).trim() || '(nothing)' };
    return { ...part, calls: part.calls.map((call) => ({ ...call, input: fillRecord(call.input, inText) })) };
  });
  return { ...step, parts };
}

function fillRecord(record: Readonly<Record<string, unknown>>, inText: (text: string) => string) {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, fillValue(value, inText)]));
}

function fillValue(value: unknown, inText: (text: string) => string): unknown {
  if (typeof value === 'string') return inText(value);
  if (Array.isArray(value)) return value.map((inner) => fillValue(inner, inText));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fillValue(inner, inText)]));
}

/** What a message says itself, without the results of tools. */
function ownText({ content }: Message): string {
  return content.flatMap((block) => (block.type === 'text' ? [block.text] : [])).join('\n');
}

function resultText({ content = '' }: ToolResultBlock): string {
  if (typeof content === 'string') return content;
  return content.map((part) => (part.type === 'text' ? part.text : `[${part.type}]`)).join('\n');
}
