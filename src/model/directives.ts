/**
 * The directive language: what a user's message tells the scripted model to do. A fenced block named `drover`, one
 * JSON object a line; blank lines and lines that begin with `#` are skipped:
 *
 *     ```drover
 *     {"think": "First look around."}
 *     {"say": "I look around."}
 *     {"call": "bash", "input": {"command": "ls"}}
 *     {"say": "The tool said: {{result}}"}
 *     ```
 *
 * | line | what it does |
 * |---|---|
 * | `{"say": "…"}` | a text block |
 * | `{"think": "…"}` | a thinking block; skipped where the request does not enable thinking |
 * | `{"call": "bash", "input": {…}}` | one tool call; ends the step |
 * | `{"calls": [{"call": "bash", "input": {…}}, …]}` | parallel tool calls; ends the step |
 * | `{"delayMs": 500}` | a pause at this place of the stream |
 * | `{"hold": "here"}` | waits at this place of the stream until the hold of this name is released |
 * | `{"stop": "end_turn"}` | ends the step with this stop reason; `category`, `explanation` for `refusal` |
 * | `{"fail": 529}` | an HTTP error instead of an answer; `type`, `message`, `retryAfter` (seconds), `shouldRetry` |
 * | `{"fail": "error", "type": "overloaded_error"}` | an error frame in the middle of the stream |
 * | `{"fail": "cut"}` | the connection breaks in the middle of the stream |
 * | `{"fail": "drop"}` | the connection breaks before anything is answered |
 * | `{"replay": "text"}` | answers with a recorded stream; ends the step |
 * | `{"window": 5000}` | belongs to no step: prompts of more tokens are refused as too long |
 * | `{"summary": "…"}` | belongs to no step: how a request for a summary is answered |
 *
 * `say`, `think` and `call` take `chunkDelayMs` (pause between two deltas) and `chunkChars` (their size). `call` and
 * `calls` take `stop` (a stop reason other than `tool_use`) and `unoffered: true` (call a tool that is not in `tools`).
 * `error` and `cut` take `after`: how many deltas come first, else half of them.
 *
 * Each answer of the model is one **step**: the lines up to and including the next `call`, `calls`, `stop` or
 * `replay`, or the end. Which step is next follows from the conversation alone: the assistant messages since the last
 * user message with a `drover` block are counted. So a plain message may follow a step that ended with `stop`.
 * An answer that leaves nothing in the conversation (it was interrupted, or had no text and no call) does not count:
 * its step comes again.
 *
 * A `fail` line holds for its step. Without `times` it fails for ever; with `times: n` the first n tries fail and
 * then the next `fail` line of the step, or the step itself, has its turn. That count is the only state. It is kept
 * per conversation (a hash of its content); sessions that say exactly the same at the same time need an `id` of
 * their own in the line to stay apart. With an `id`, the count holds whatever else is in the request.
 *
 * In `say`, `think` and the strings of an `input`: `{{result}}` is the text of the last tool result, `{{results}}`
 * of all results of the last round (one a line), `{{message}}` of the last user message without its directives.
 */
import { z } from 'zod';
import { ERROR_TYPES, illegal } from './error.ts';

const wait = z.int().min(0).max(600_000);
const pace = { chunkDelayMs: wait.optional(), chunkChars: z.int().min(1).optional() };
const words = z.string().regex(/\S/, 'needs some text');
const reason = z.enum([
  'end_turn',
  'max_tokens',
  'stop_sequence',
  'pause_turn',
  'refusal',
  'model_context_window_exceeded',
]);
const oneCall = {
  call: z.string().min(1),
  input: z.record(z.string(), z.unknown()).default({}),
  unoffered: z.boolean().default(false),
};
const say = z.strictObject({ say: words, ...pace });
const think = z.strictObject({ think: words, ...pace });
const call = z.strictObject({ ...oneCall, stop: reason.optional(), ...pace });
const calls = z.strictObject({
  calls: z.array(z.strictObject(oneCall)).min(1),
  stop: reason.optional(),
  ...pace,
});
const delay = z.strictObject({ delayMs: wait });
const hold = z.strictObject({ hold: z.string().min(1) });
const stop = z.strictObject({
  stop: reason,
  category: z.enum(['cyber', 'bio', 'frontier_llm', 'reasoning_extraction', 'general_harms']).optional(),
  explanation: z.string().optional(),
});
const often = { times: z.int().min(1).optional(), id: z.string().min(1).optional() };
const message = z.string().min(1).optional();
const failHttp = z.strictObject({
  fail: z.int().min(400).max(599),
  type: z.enum(ERROR_TYPES).optional(),
  message,
  retryAfter: z.number().min(0).optional(),
  shouldRetry: z.boolean().optional(),
  ...often,
});
const after = z.int().min(0).optional();
const failFrame = z.strictObject({
  fail: z.literal('error'),
  type: z.enum(ERROR_TYPES).default('overloaded_error'),
  message,
  after,
  ...often,
});
const failCut = z.strictObject({ fail: z.literal('cut'), after, ...often });
const failDrop = z.strictObject({ fail: z.literal('drop'), ...often });
const replay = z.strictObject({
  replay: z.string().regex(/^[a-z0-9-]+$/, 'a name is made of a-z, 0-9 and -'),
});

const settings = z.union([
  z.strictObject({ window: z.int().min(1) }),
  z.strictObject({ summary: words, ...pace }),
]);

/** What a script says beside its steps. */
export interface ScriptSettings {
  /** The longest prompt that is taken, in tokens. */
  readonly window?: number;
  readonly summary?: { readonly text: string } & Pace;
}

/** How fast a block is streamed. */
export interface Pace {
  readonly chunkDelayMs?: number | undefined;
  readonly chunkChars?: number | undefined;
}
/** One tool call of a script. */
export type CallLine = Pick<z.infer<typeof call>, 'call' | 'input' | 'unoffered'>;
/** How an answer ends where the script says so. */
export type StopLine = z.infer<typeof stop>;
/** A scripted failure. */
export type FailLine =
  | z.infer<typeof failHttp>
  | z.infer<typeof failFrame>
  | z.infer<typeof failCut>
  | z.infer<typeof failDrop>;
/** One piece of an answer, in the order of the script. */
export type Part =
  | ({ readonly kind: 'say' | 'think'; readonly text: string } & Pace)
  | ({ readonly kind: 'calls'; readonly calls: readonly CallLine[] } & Pace)
  | { readonly kind: 'delay'; readonly delayMs: number }
  | { readonly kind: 'hold'; readonly hold: string };
/** What one answer of the model consists of. */
export interface Step {
  readonly parts: readonly Part[];
  readonly failures: readonly FailLine[];
  readonly stop?: StopLine;
  readonly replay?: string;
}

/** Every line is known by one of these, so that a mistake is reported against what its author meant. */
const WORDS = ['say', 'think', 'calls', 'call', 'delayMs', 'hold', 'replay', 'stop'] as const;
const FENCE = /^```drover[ \t]*\n(?<script>[\s\S]*?)(?:^```[ \t]*$|(?<open>$(?![\s\S])))/gm;

/** Whether a text holds directives. */
export function hasDirectives(text: string): boolean {
  return /^```drover[ \t]*$/m.test(normalise(text));
}

/** The text without its directives. */
export function withoutDirectives(text: string): string {
  return normalise(text).replaceAll(FENCE, '').trim();
}

/** Reads the steps of a script. Throws ApiError (400) that names the line that cannot be understood. */
export function readSteps(text: string): Step[] {
  return group(readLines(text).filter((line) => !isSetting(line))).map(({ step }) => step);
}

/** Reads what a script says beside its steps. */
export function readSettings(text: string): ScriptSettings {
  const found: ScriptSettings[] = readLines(text)
    .filter(isSetting)
    .map(({ at, text: line }) => {
      const value = check(settings, readJson(line, at), at);
      return 'window' in value ? value : { summary: { text: value.summary, ...paceOf(value) } };
    });
  return Object.assign({}, ...found) as ScriptSettings;
}

/** The script without its first steps, as a block again; its settings stay. */
export function scriptFrom(text: string, steps: number): string {
  const lines = readLines(text);
  const rest = group(lines.filter((line) => !isSetting(line))).slice(steps);
  const kept = [...lines.filter(isSetting), ...rest.flatMap((one) => one.lines)];
  return kept.length === 0 ? '' : block(kept.map(({ text: line }) => line));
}

/** Writes a script: a block with one directive a line, as `readSteps` and `readSettings` read it. */
export function script(...lines: readonly object[]): string {
  return block(lines.map((line) => JSON.stringify(line)));
}

function block(lines: readonly string[]): string {
  return ['```drover', ...lines, '```'].join('\n');
}

interface Line {
  readonly at: number;
  readonly text: string;
}

function isSetting({ text }: Line): boolean {
  return /^\{\s*"(window|summary)"/.test(text);
}

function readLines(text: string): Line[] {
  const lines: Line[] = [];
  for (const match of normalise(text).matchAll(FENCE)) {
    if (match.groups?.['open'] !== undefined) throw illegal('drover directives: the closing ``` is missing');
    for (const line of (match.groups?.['script'] ?? '').split('\n')) {
      lines.push({ at: lines.length + 1, text: line.trim() });
    }
  }
  return lines.filter((line) => line.text !== '' && !line.text.startsWith('#'));
}

type Draft = { parts: Part[]; failures: FailLine[]; stop?: StopLine; replay?: string };

function group(lines: readonly Line[]): { readonly step: Step; readonly lines: readonly Line[] }[] {
  const steps: { step: Draft; lines: Line[] }[] = [];
  let open: { step: Draft; lines: Line[] } | undefined;
  for (const line of lines) {
    open ??= { step: { parts: [], failures: [] }, lines: [] };
    open.lines.push(line);
    if (!addLine(open.step, line.text, line.at)) continue;
    steps.push(open);
    open = undefined;
  }
  return open === undefined ? steps : [...steps, open];
}

/** Adds a line to the step; true where the line ends it. */
function addLine(step: Draft, text: string, at: number): boolean {
  const value = readJson(text, at);
  if ('fail' in value) {
    step.failures.push(readFail(value, at));
    return false;
  }
  const word = WORDS.find((known) => known in value);
  switch (word) {
    case 'say': {
      const line = check(say, value, at);
      step.parts.push({ kind: 'say', text: line.say, ...paceOf(line) });
      return false;
    }
    case 'think': {
      const line = check(think, value, at);
      step.parts.push({ kind: 'think', text: line.think, ...paceOf(line) });
      return false;
    }
    case 'delayMs':
      step.parts.push({ kind: 'delay', delayMs: check(delay, value, at).delayMs });
      return false;
    case 'call': {
      const line = check(call, value, at);
      addCalls(step, [line], line);
      return true;
    }
    case 'calls': {
      const line = check(calls, value, at);
      addCalls(step, line.calls, line);
      return true;
    }
    case 'hold':
      step.parts.push({ kind: 'hold', hold: check(hold, value, at).hold });
      return false;
    case 'replay':
      step.replay = check(replay, value, at).replay;
      return true;
    case 'stop':
      step.stop = check(stop, value, at);
      return true;
    case undefined:
      throw illegal(`drover directives, line ${at}: expected one of ${WORDS.join(', ')}, fail; got ${text}`);
  }
}

function addCalls(
  step: Draft,
  list: readonly CallLine[],
  line: Pace & { stop?: StopLine['stop'] | undefined },
) {
  step.parts.push({ kind: 'calls', calls: list, ...paceOf(line) });
  if (line.stop !== undefined) step.stop = { stop: line.stop };
}

function readFail(value: Record<string, unknown>, at: number): FailLine {
  switch (value['fail']) {
    case 'error':
      return check(failFrame, value, at);
    case 'cut':
      return check(failCut, value, at);
    case 'drop':
      return check(failDrop, value, at);
    default:
      return check(failHttp, value, at);
  }
}

function paceOf({ chunkDelayMs, chunkChars }: Pace): Pace {
  return { chunkDelayMs, chunkChars };
}

function readJson(text: string, at: number): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw illegal(`drover directives, line ${at}: not valid JSON: ${text}`);
  }
  return check(z.record(z.string(), z.unknown()), value, at);
}

function check<T>(schema: z.ZodType<T>, value: unknown, at: number): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue?.path.join('.') ?? '';
  throw illegal(
    `drover directives, line ${at}: ${path === '' ? '' : `${path}: `}${issue?.message ?? 'malformed'}`,
  );
}

function normalise(text: string): string {
  return text.replaceAll('\r\n', '\n');
}
