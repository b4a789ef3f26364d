/**
 * Random conversations as carriers, with everything that a log can hold of them: interrupted and failed requests,
 * blank texts, thoughts at the end, calls without a result and with two. Written without the loop, so that what
 * reads a log is tested against more than today's loop would write.
 */
import fc from 'fast-check';
import { type Author, type Draft, type Entry, type ModelOutcome } from '../../src/log.ts';
import { signThinking } from '../../src/model/signature.ts';
import { policyOf } from './policy.ts';
import type { AgentSnapshot, MessageBlock, ResultBlock, TextBlock } from '../../src/wire/event.ts';
import { collectLog } from './projection.ts';

/** One durable write. */
export interface Carrier {
  readonly drafts: readonly Draft[];
  readonly author: Author;
}

type Result =
  | 'ok'
  | 'blank'
  | 'empty'
  | 'image'
  | 'failed'
  | 'failedImage'
  | 'failedEmpty'
  | 'twice'
  | 'none';

interface AnswerPlan {
  readonly blocks: readonly ('text' | 'blank' | 'thinking' | 'redacted' | 'tool' | 'ask' | 'custom')[];
  readonly results: readonly Result[];
  readonly stop: ModelOutcome['stop'];
}

interface TurnPlan {
  readonly messages: readonly (readonly MessageBlock[])[];
  readonly answers: readonly AnswerPlan[];
  readonly updatesTools: 'no' | 'none' | 'all';
}

/** An agent with every tool that a hand runs and one that the client runs. */
export const AGENT: AgentSnapshot = {
  id: 'agent_1',
  name: 'tester',
  model: { id: 'claude-opus-4-8', effort: { type: 'high' }, speed: 'standard' },
  system: 'You test.',
  tools: [
    {
      type: 'agent_toolset_20260401',
      default_config: { enabled: true, permission_policy: { type: 'always_allow' } },
      configs: [],
    },
    { type: 'custom', name: 'ask_user', description: 'Asks.', input_schema: { type: 'object' } },
  ],
  mcp_servers: [],
  skills: [],
};

/** The first event of every log. */
export function created(agent: AgentSnapshot = AGENT, policy = policyOf()): Draft {
  return {
    event: {
      id: 'sevt_created',
      type: 'x.session_created',
      agent,
      agent_name: typeof agent['name'] === 'string' ? agent['name'] : 'tester',
      model: 'claude-sonnet-5',
      mcp_servers: [],
      environment_id: 'env_1',
      workspace_id: 'wrkspc_1',
      title: 'a title',
      metadata: { key: 'value' },
      thread_id: 'sthr_1',
      policy,
      budget: null,
    },
  };
}

/** The entries that carriers make, a millisecond apart. */
export function entriesOf(carriers: readonly Carrier[]): readonly Entry[] {
  const log = collectLog();
  carriers.forEach(({ drafts, author }, index) => log.append(drafts, (index + 1) * 1000, author));
  return log.entries;
}

/** A log of these server drafts behind the first event and one message that has been taken up. */
export function logOf(drafts: readonly Draft[], agent: AgentSnapshot = AGENT): readonly Entry[] {
  return entriesOf([
    { drafts: [created(agent)], author: 'server' },
    { drafts: [said('m1', 'hello')], author: 'client' },
    { drafts: [{ processed: 'm1' }, ...drafts], author: 'server' },
  ]);
}

/** A user's message. */
export function said(id: string, text: string): Draft {
  return { event: { id, type: 'user.message', content: [{ type: 'text', text }] } };
}

const text: fc.Arbitrary<TextBlock> = fc
  .string({ minLength: 1, maxLength: 20, unit: 'grapheme' })
  .map((words) => ({ type: 'text', text: `.${words}` }));
const image: MessageBlock = {
  type: 'image',
  source: { type: 'base64', media_type: 'image/png', data: 'aGVsbG8=' },
};
const messageBlock: fc.Arbitrary<MessageBlock> = fc.oneof(
  { weight: 4, arbitrary: text },
  fc.constant(image),
  fc.constant<MessageBlock>({
    type: 'document',
    source: { type: 'text', media_type: 'text/plain', data: 'a page' },
    title: null,
  }),
);

const answer: fc.Arbitrary<AnswerPlan> = fc.record({
  blocks: fc.array(
    fc.constantFrom<AnswerPlan['blocks'][number]>(
      'text',
      'text',
      'blank',
      'thinking',
      'thinking',
      'redacted',
      'tool',
      'tool',
      'ask',
      'custom',
    ),
    { maxLength: 6 },
  ),
  results: fc.array(
    fc.constantFrom<Result>(
      'ok',
      'ok',
      'ok',
      'blank',
      'empty',
      'image',
      'failed',
      'failedImage',
      'failedEmpty',
      'twice',
      'none',
    ),
    { minLength: 6, maxLength: 6 },
  ),
  stop: fc.constantFrom<ModelOutcome['stop']>(
    'end_turn',
    'end_turn',
    'tool_use',
    'max_tokens',
    'refusal',
    'failed',
    'interrupted',
  ),
});

const turn: fc.Arbitrary<TurnPlan> = fc.record({
  messages: fc.array(fc.array(messageBlock, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 2 }),
  answers: fc.array(answer, { maxLength: 3 }),
  updatesTools: fc.constantFrom('no', 'no', 'no', 'none', 'all'),
});

/** Conversations of a few turns, as carriers. Each carrier's end is a moment at which a session could have died. */
export const conversations: fc.Arbitrary<readonly Carrier[]> = fc.array(turn, { maxLength: 4 }).map(build);

/** A carrier and when it was written. */
export interface Written extends Carrier {
  readonly timeUs: number;
}

/** Carriers with times that also stand still and go back, and with repeated writes in between. */
export const histories: fc.Arbitrary<Written[]> = fc
  .tuple(
    conversations,
    fc.array(fc.integer({ min: -50, max: 3000 }), { minLength: 1, maxLength: 20 }),
    fc.array(fc.nat(40), { maxLength: 5 }),
  )
  .map(([carriers, steps, repeats]) => {
    const all = [...carriers];
    for (const at of repeats) {
      const again = all[at];
      if (again?.author === 'client') all.splice(at + 1 + (at % 3), 0, again);
    }
    let timeUs = 1_700_000_000_000_000;
    return all.map((carrier, index) => ({
      ...carrier,
      timeUs: (timeUs += steps[index % steps.length] ?? 0),
    }));
  });

function build(turns: readonly TurnPlan[]): Carrier[] {
  let ids = 0;
  const id = (): string => `sevt_${(ids += 1)}`;
  const carriers: Carrier[] = [{ drafts: [created()], author: 'server' }];
  for (const { messages, answers, updatesTools } of turns) {
    if (updatesTools !== 'no') {
      const tools = updatesTools === 'none' ? [] : AGENT['tools'];
      const event = { id: id(), type: 'session.updated', agent: { ...AGENT, tools } } as const;
      carriers.push({ drafts: [{ event }], author: 'client' });
    }
    const queued = messages.map((content) => ({ id: id(), content }));
    for (const { id, content } of queued) {
      const event = { id, type: 'user.message' as const, content: [...content] };
      carriers.push({ drafts: [{ event }], author: 'client' });
    }
    const opening: Draft[] = [
      { event: { id: id(), type: 'session.status_running' } },
      ...queued.map(({ id }) => ({ processed: id })),
    ];
    carriers.push({ drafts: opening, author: 'server' });
    for (const plan of answers) carriers.push(...buildAnswer(plan, id));
    carriers.push({
      drafts: [
        {
          event: {
            id: id(),
            type: 'session.status_idle',
            stop_reason: { type: 'end_turn' },
            stop_details: null,
          },
        },
      ],
      author: 'server',
    });
  }
  return carriers;
}

function buildAnswer({ blocks, results, stop }: AnswerPlan, id: () => string): Carrier[] {
  const spanId = id();
  const made = stop === 'failed' || stop === 'interrupted' ? [] : blocks;
  const drafts: Draft[] = [];
  const texts: { text: string; at: number }[] = [];
  const calls: { id: string; runner: 'hand' | 'client' }[] = [];
  made.forEach((block, at) => {
    if (block === 'thinking' || block === 'redacted') {
      const thought = `thought ${spanId} ${at}`;
      const thinking =
        block === 'thinking'
          ? { type: 'thinking', thinking: thought, signature: signThinking(thought, thought) }
          : { type: 'redacted_thinking', data: 'c2VjcmV0' };
      drafts.push({ event: { id: id(), type: 'agent.thinking' }, extra: { blocks: [at], thinking } });
    } else if (block === 'text' || block === 'blank') {
      texts.push({ text: block === 'text' ? `text ${spanId} ${at}` : '\n ', at });
    }
  });
  if (texts.length > 0) {
    const content = texts.map(({ text }): TextBlock => ({ type: 'text', text }));
    const event = { id: id(), type: 'agent.message' as const, content };
    drafts.push({ event, extra: { blocks: texts.map(({ at }) => at) } });
  }
  made.forEach((block, at) => {
    if (block !== 'tool' && block !== 'ask' && block !== 'custom') return;
    const callId = id();
    const extra = { blocks: [at], callId: `toolu_${callId}` };
    calls.push({ id: callId, runner: block === 'custom' ? 'client' : 'hand' });
    drafts.push(
      block === 'custom'
        ? { event: { id: callId, type: 'agent.custom_tool_use', name: 'ask_user', input: {} }, extra }
        : {
            event: {
              id: callId,
              type: 'agent.tool_use',
              name: 'bash',
              input: { command: 'true' },
              evaluated_permission: block === 'ask' ? 'ask' : 'allow',
            },
            extra,
          },
    );
  });
  const usage = {
    input_tokens: 1,
    output_tokens: 2,
    cache_creation_input_tokens: 3,
    cache_read_input_tokens: 4,
  };
  const end = { model_request_start_id: spanId, is_error: stop === 'failed', model_usage: usage };
  drafts.push({ event: { id: id(), type: 'span.model_request_end', ...end }, extra: { outcome: { stop } } });
  return [
    { drafts: [{ event: { id: spanId, type: 'span.model_request_start' } }], author: 'server' },
    { drafts, author: 'server' },
    ...calls.flatMap((call, index) => buildResults(call, results[index] ?? 'ok', id)),
  ];
}

function buildResults(
  call: { id: string; runner: 'hand' | 'client' },
  kind: Result,
  id: () => string,
): Carrier[] {
  const result = (words: string): Carrier => {
    const failed = kind.startsWith('failed');
    const body = { content: contentOf(kind, words), ...(failed ? { is_error: true } : {}) };
    return call.runner === 'client'
      ? {
          drafts: [
            { event: { id: id(), type: 'user.custom_tool_result', custom_tool_use_id: call.id, ...body } },
          ],
          author: 'client',
        }
      : {
          drafts: [{ event: { id: id(), type: 'agent.tool_result', tool_use_id: call.id, ...body } }],
          author: 'server',
        };
  };
  if (kind === 'none') return [];
  return kind === 'twice' ? [result('first'), result('second')] : [result('first')];
}

function contentOf(kind: Result, words: string): ResultBlock[] {
  switch (kind) {
    case 'empty':
    case 'failedEmpty':
      return [];
    case 'blank':
      return [{ type: 'text', text: ' \n' }];
    case 'image':
    case 'failedImage':
      return [{ type: 'text', text: words }, image];
    default:
      return [{ type: 'text', text: words }];
  }
}
