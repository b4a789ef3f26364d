/** The brain on the Messages API, through the official SDK. Its retries are off: the loop is the only one that retries. */
import Anthropic from '@anthropic-ai/sdk';
import type { BetaMessageStream } from '@anthropic-ai/sdk/lib/BetaMessageStream';
import type {
  BetaContentBlock,
  BetaMessage,
  MessageCreateParamsStreaming,
} from '@anthropic-ai/sdk/resources/beta/messages/messages';
import { InterruptedError, type Brain, type Thought } from '../brain.ts';
import {
  NO_USAGE,
  type Charge,
  type Draft,
  type Extra,
  type ModelFailure,
  type ModelOutcome,
} from '../log.ts';
import type { EventBody, SpanUsage, TextBlock } from '../wire/event.ts';
import { toFailure } from './failure.ts';
import { askJudge, NOT_JUDGED, settle, type Court, type Judgement, type Settled } from './judge.ts';
import { createPreviewer, isThinking, type Previewer } from './previewer.ts';
import { toRecall } from './recall.ts';
import { policyOf, toPrompt, type Prompt } from './request.ts';
import { overhear, silenceGuard } from './silence.ts';
import { createMeter, isAffordable, lostCharges } from './spending.ts';

/** What the brain is made of. */
export interface ClaudeBrainDeps {
  /** Where model requests go: the credential proxy. */
  readonly baseUrl: string;
  /** Gives the short-lived token that the proxy knows a session by. */
  readonly tokenFor: (sessionId: string) => Promise<string>;
  /** A stream that is silent for so long is given up. */
  readonly silenceMs?: number;
  /** The judge may take so long; then the client is asked. */
  readonly judgeMs?: number;
}

const DEFAULT_SILENCE_MS = 180_000;
const DEFAULT_JUDGE_MS = 60_000;
/** What the Temporal UI shows of a call; the server takes 400 bytes. */
const SUMMARY_LENGTH = 80;

/** Makes the brain. */
export function createClaudeBrain({
  baseUrl,
  tokenFor,
  silenceMs = DEFAULT_SILENCE_MS,
  judgeMs = DEFAULT_JUDGE_MS,
}: ClaudeBrainDeps): Brain {
  const client = new Anthropic({ baseURL: baseUrl, apiKey: 'by-proxy', maxRetries: 0 });

  const send: Send = async (through, request, { sessionId, signal }) => {
    const authorization = `Bearer ${await tokenFor(sessionId)}`;
    return through.beta.messages.stream(request, { headers: { authorization }, signal });
  };

  /** Has the calls judged whose policy leaves it to the judge, if there is one and the budget leaves it anything. */
  const judge = async (
    message: BetaMessage,
    { entries, leftMicrocents, sessionId, signal, attempt }: Thought,
    { prompt, lost }: Pick<AnswerParts, 'prompt' | 'lost'>,
  ): Promise<Judgement> => {
    const calls = callsToJudge(message, prompt).map(({ block, index }) => ({ ...block, index }));
    const { judgeModel: model, prices } = policyOf(entries);
    const spent = [...lost, { model: prompt.request.model, usage: usageOf(message) }];
    if (calls.length === 0 || !model || !isAffordable(spent, prices, leftMicrocents)) return NOT_JUDGED;
    const ask: Court['ask'] = (request, until) => send(client, request, { sessionId, signal: until });
    return await askJudge(entries, calls, { model, ask, timeoutMs: judgeMs, signal, attempt });
  };

  return {
    recall: toRecall,
    async think(thought) {
      const prompt = toPrompt(thought.entries);
      if (!prompt) return [spanEnd(thought, NO_USAGE, withoutPrompt(thought))];
      const { model } = prompt.request;
      const lost = lostCharges(thought.attempt, model, prompt.request);
      if (!isAffordable(lost, policyOf(thought.entries).prices, thought.leftMicrocents))
        return [spanEnd(thought, NO_USAGE, { stop: 'unaffordable' }, lost)];
      const silence = silenceGuard(silenceMs);
      const previewer = createPreviewer(thought);
      const meter = createMeter(model);
      let judged = NOT_JUDGED;
      try {
        const stream = await send(client.withOptions({ fetch: overhear(silence.heard) }), prompt.request, {
          sessionId: thought.sessionId,
          signal: AbortSignal.any([thought.signal, silence.signal]),
        });
        stream.on('streamEvent', (event) => {
          meter.add(event);
          // A summary is no message of the conversation.
          if (prompt.summarises === undefined) previewer.show(event);
        });
        const message = await stream.finalMessage();
        thought.signal.throwIfAborted();
        judged = await judge(message, thought, { prompt, lost });
        thought.signal.throwIfAborted();
        return toDrafts(message, thought, { previewer, prompt, lost, judged });
      } catch (error) {
        const charges = [...lost, ...meter.charges(), ...judged.charges];
        if (thought.signal.reason instanceof InterruptedError)
          return [spanEnd(thought, NO_USAGE, { stop: 'interrupted' }, charges)];
        thought.signal.throwIfAborted();
        const failure = toFailure(silence.signal.aborted ? silence.signal.reason : error);
        return [spanEnd(thought, NO_USAGE, { stop: 'failed', failure }, charges)];
      } finally {
        silence.stop();
      }
    },
  };
}

/** Sends a request with the token of its session. */
type Send = (
  through: Anthropic,
  request: MessageCreateParamsStreaming,
  options: { sessionId: string; signal: AbortSignal },
) => Promise<BetaMessageStream>;

/** Nothing can be sent. A summary that was only wished for can be done without; one that must be made cannot. */
function withoutPrompt({ entries, sessionId }: Thought): ModelOutcome {
  const order = entries.at(-1)?.extra?.compact;
  if (!order) throw new Error(`session ${sessionId}: a model request without any message`);
  const isOnlyWished = order.requests.length > 0 && order.trim === 0;
  return isOnlyWished ? { stop: 'compacted' } : { stop: 'failed', failure: NOTHING_TO_SUM_UP };
}

/** A conversation that consists of nothing but what has not been answered cannot be made shorter. */
const NOTHING_TO_SUM_UP: ModelFailure = {
  kind: 'compaction_limit_reached_error',
  message: 'There is nothing in the conversation that could be summed up.',
  retryable: false,
};

interface AnswerParts {
  readonly previewer: Previewer;
  readonly prompt: Prompt;
  readonly lost: readonly Charge[];
  readonly judged: Judgement;
}

/** The events of an answer: thinking, then the text, then the calls, then the end of the span (as measured on the hosted service). */
function toDrafts(message: BetaMessage, thought: Thought, parts: AnswerParts): Draft[] {
  const { previewer, prompt, lost, judged } = parts;
  if (prompt.summarises !== undefined) return summaryDrafts(message, thought, parts);
  const blocks = usable(message);
  const thinking = blocks.flatMap(({ block, index }) =>
    isThinking(block) ? [thinkingDraft(block, index, previewer)] : [],
  );
  const texts = blocks.filter(({ block }) => block.type === 'text' && block.text !== '');
  const calls = blocks.flatMap(({ block, index }) =>
    block.type === 'tool_use'
      ? [
          callDraft(
            { block, index },
            settle(prompt.toolbox.treatmentOf(block.name), judged.rulings.get(index)),
            thought.newId(),
          ),
        ]
      : [],
  );
  return [
    ...thinking,
    ...messageDraft(texts, previewer.messageId),
    ...calls,
    spanEnd(thought, usageOf(message), outcomeOf(message), [...lost, ...judged.charges]),
  ];
}

/** The events of a summary; without any text it is a failure like another, and tried again. */
function summaryDrafts(message: BetaMessage, thought: Thought, { prompt, lost }: AnswerParts): Draft[] {
  const summary = message.content.flatMap((block) => (block.type === 'text' ? [block.text] : [])).join('\n');
  if (summary.trim() === '') {
    const failure = {
      kind: 'model_request_failed_error',
      message: 'The model wrote no summary.',
      retryable: true,
    } as const;
    return [spanEnd(thought, usageOf(message), { stop: 'failed', failure }, lost)];
  }
  const compaction = { summary, through: prompt.summarises ?? -1 };
  return [
    { event: { id: thought.newId(), type: 'agent.thread_context_compacted' }, extra: { compaction } },
    spanEnd(thought, usageOf(message), { stop: 'compacted' }, lost),
  ];
}

/** All blocks but tool calls that must not run: one that was cut off (its input may be half there), and refused ones. */
function usable({ content, stop_reason }: BetaMessage): { block: BetaContentBlock; index: number }[] {
  const blocks = content.map((block, index) => ({ block, index }));
  if (stop_reason === 'refusal') return blocks.filter(({ block }) => block.type !== 'tool_use');
  const cutOff = stop_reason === 'max_tokens' || stop_reason === 'model_context_window_exceeded';
  return cutOff && blocks.at(-1)?.block.type === 'tool_use' ? blocks.slice(0, -1) : blocks;
}

/** The calls of an answer that the judge is to be asked about. */
function callsToJudge(message: BetaMessage, { toolbox, summarises }: Prompt): CallBlock[] {
  if (summarises !== undefined) return [];
  return usable(message).flatMap(({ block, index }) => {
    if (block.type !== 'tool_use') return [];
    const treatment = toolbox.treatmentOf(block.name);
    const isOpen = treatment.runner !== 'client' && treatment.permission === 'judge';
    return isOpen ? [{ block, index }] : [];
  });
}

function thinkingDraft(block: BetaContentBlock, index: number, previewer: Previewer): Draft {
  const extra: Extra = { blocks: [index], thinking: { ...block } };
  return { event: { id: previewer.thinkingId(index), type: 'agent.thinking' }, extra };
}

function messageDraft(texts: readonly { block: BetaContentBlock; index: number }[], id: string): Draft[] {
  if (texts.length === 0) return [];
  const content = texts.flatMap(({ block }): TextBlock[] =>
    block.type === 'text' ? [{ type: 'text', text: block.text }] : [],
  );
  return [
    { event: { id, type: 'agent.message', content }, extra: { blocks: texts.map(({ index }) => index) } },
  ];
}

interface CallBlock {
  readonly block: Extract<BetaContentBlock, { type: 'tool_use' }>;
  /** Its place in the answer. */
  readonly index: number;
}

function callDraft({ block, index }: CallBlock, treatment: Settled, id: string): Draft {
  const call = { id, name: block.name, input: (block.input ?? {}) as Record<string, unknown> };
  const { runner, permission, evaluation } = {
    permission: 'deny' as const,
    evaluation: undefined,
    ...treatment,
  };
  const event: EventBody =
    runner === 'client'
      ? { ...call, type: 'agent.custom_tool_use' }
      : {
          ...call,
          type: 'agent.tool_use',
          evaluated_permission: permission,
          ...(evaluation ? { evaluation } : {}),
        };
  const extra: Extra = { blocks: [index], callId: block.id, summary: summaryOf(call) };
  return { event, extra: runner === 'log' ? { ...extra, runner } : extra };
}

/** `bash: npm test`: the tool and the start of its first text, in one line. */
function summaryOf({ name, input }: { name: string; input: Record<string, unknown> }): string {
  const first = Object.values(input).find((value) => typeof value === 'string') ?? '';
  return `${name}: ${first}`.replaceAll(/\s+/g, ' ').slice(0, SUMMARY_LENGTH).replace(/: $/, '');
}

function spanEnd(
  { spanId, newId }: Thought,
  usage: SpanUsage,
  outcome: ModelOutcome,
  charges: readonly Charge[] = [],
): Draft {
  const isError = outcome.stop === 'failed';
  const end = { model_request_start_id: spanId, is_error: isError, model_usage: usage };
  return {
    event: { id: newId(), type: 'span.model_request_end', ...end },
    extra: { outcome, ...(charges.length > 0 ? { charges } : {}) },
  };
}

function usageOf({ usage }: BetaMessage): SpanUsage {
  return {
    input_tokens: usage.input_tokens,
    output_tokens: usage.output_tokens,
    cache_creation_input_tokens: usage.cache_creation_input_tokens ?? 0,
    cache_read_input_tokens: usage.cache_read_input_tokens ?? 0,
  };
}

function outcomeOf({ stop_reason, stop_details }: BetaMessage): ModelOutcome {
  switch (stop_reason) {
    case 'refusal': {
      const category = stop_details?.type === 'refusal' ? stop_details.category : null;
      const explanation = stop_details?.type === 'refusal' ? stop_details.explanation : null;
      return { stop: 'refusal', details: { type: 'refusal', category, explanation } };
    }
    case 'tool_use':
    case 'pause_turn':
    case 'max_tokens':
      return { stop: stop_reason };
    default:
      return { stop: 'end_turn' };
  }
}
