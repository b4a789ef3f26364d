/** The context window as a view of the log: what is cleared and summed up, over generated conversations and by example. */
import type { MessageCreateParamsStreaming } from '@anthropic-ai/sdk/resources/beta/messages/messages';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SUMMARY_REQUEST } from '../../src/brain/compaction.ts';
import { toCase } from '../../src/brain/judge.ts';
import { RECALL_TOOL } from '../../src/brain/recall.ts';
import { toPrompt, type Prompt } from '../../src/brain/request.ts';
import { NO_USAGE, type CompactOrder, type ContextPolicy, type Draft, type Entry } from '../../src/log.ts';
import { checkAnswerable, checkPrompt } from '../../src/model/rules.ts';
import { readMessagesRequest } from '../../src/model/shape.ts';
import { readPromptLog } from '../../src/prompt-log.ts';
import type { Slice } from '../../src/session.ts';
import { AGENT, conversations, created, entriesOf, type Carrier } from '../support/conversation.ts';
import { policyOf } from '../support/policy.ts';
import { sliceOf } from '../support/projection.ts';

const NEVER: ContextPolicy = { clearAtTokens: 0, keepResults: 0, compactAtTokens: 0, keepAnswers: 0 };
const CLEARED = '[Cleared to save space.';

/** The same conversation under other thresholds, whose prompts the model counts as ever longer. */
function under(carriers: readonly Carrier[], context: Partial<ContextPolicy>): Carrier[] {
  let spans = 0;
  return carriers.map(({ drafts, author }) => ({
    author,
    drafts: drafts.map((draft): Draft => {
      if (!('event' in draft)) return draft;
      const { event } = draft;
      if (event.type === 'x.session_created')
        return { event: { ...event, policy: policyOf({ context: { ...NEVER, ...context } }) } };
      if (event.type !== 'span.model_request_end') return draft;
      spans += 1;
      const usage = { ...event.model_usage, input_tokens: spans * 100 };
      return { ...draft, event: { ...event, model_usage: usage } };
    }),
  }));
}

function refusalOf({ request }: Prompt): string | undefined {
  const { betas: _, ...body } = request;
  try {
    const read = readMessagesRequest(JSON.parse(JSON.stringify(body)));
    checkPrompt(read);
    checkAnswerable(read);
    return undefined;
  } catch (error) {
    return String(error);
  }
}

function messagesOf(prompt: Prompt | undefined): MessageCreateParamsStreaming['messages'] {
  return prompt?.request.messages ?? [];
}

/** All blocks, each with its role, without breakpoints. */
function blocksOf(prompt: Prompt | undefined): string[] {
  return messagesOf(prompt).flatMap(({ role, content }) =>
    (content as object[]).map((block) => JSON.stringify({ role, ...block, cache_control: undefined })),
  );
}

function spanStarts(entries: readonly Entry[]): number[] {
  return entries.flatMap(({ event, position }) =>
    event.type === 'span.model_request_start' ? [position] : [],
  );
}

const thresholds = fc.record({ clearAtTokens: fc.constantFrom(1, 150, 300), keepResults: fc.nat(3) });
const orders = fc.record({
  trim: fc.nat(3),
  keepAnswers: fc.nat(3),
  requests: fc.constantFrom<readonly string[]>([], ['wish']),
});

describe('clearing', () => {
  test('leaves every prefix of a log with a request that the API takes', () => {
    fc.assert(
      fc.property(conversations, thresholds, (carriers, context) => {
        const entries = entriesOf(under(carriers, context));
        const prompts = entries.flatMap((_, at) => toPrompt(entries.slice(0, at + 1)) ?? []);
        expect(prompts.flatMap((prompt) => refusalOf(prompt) ?? [])).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  test('never takes back what it cleared, and touches no result that is among the newest', () => {
    fc.assert(
      fc.property(conversations, thresholds, (carriers, context) => {
        const entries = entriesOf(under(carriers, context));
        let before = new Set<string>();
        for (const at of spanStarts(entries)) {
          const results = messagesOf(toPrompt(entries.slice(0, at + 1))).flatMap(({ content }) =>
            (content as { type: string; tool_use_id?: string }[]).filter(
              ({ type }) => type === 'tool_result',
            ),
          );
          const isCleared = (block: object): boolean => JSON.stringify(block).includes(CLEARED);
          const cleared = new Set(results.filter(isCleared).map(({ tool_use_id: id = '' }) => id));
          for (const id of before) expect(cleared).toContain(id);
          before = cleared;
        }
      }),
      { numRuns: 60 },
    );
  });

  test('changes nothing where the threshold is not reached or set', () => {
    fc.assert(
      fc.property(conversations, (carriers) => {
        const plain = entriesOf(under(carriers, {}));
        const high = entriesOf(under(carriers, { clearAtTokens: 1_000_000 }));
        expect(messagesOf(toPrompt(high))).toEqual(messagesOf(toPrompt(plain)));
      }),
      { numRuns: 30 },
    );
  });
});

/** A conversation with a compaction put before one of its requests: the order, and what comes of it. */
function withCompaction(
  carriers: readonly Carrier[],
  which: number,
  order: CompactOrder,
): { before: readonly Entry[]; prompt: Prompt | undefined; after: readonly Entry[] } | undefined {
  const starts = carriers.flatMap(({ drafts }, index) =>
    drafts.some((draft) => 'event' in draft && draft.event.type === 'span.model_request_start')
      ? [index]
      : [],
  );
  const at = starts[which % Math.max(1, starts.length)];
  if (at === undefined) return undefined;
  const start: Draft = {
    event: { id: 'compact', type: 'span.model_request_start' },
    extra: { compact: order },
  };
  const head: Carrier[] = [...carriers.slice(0, at), { drafts: [start], author: 'server' }];
  const before = entriesOf(head);
  const prompt = toPrompt(before);
  if (prompt?.summarises === undefined) return { before, prompt, after: [] };
  const compaction = { summary: 'What was said.', through: prompt.summarises };
  const end = {
    model_request_start_id: 'compact',
    is_error: false,
    model_usage: { ...NO_USAGE, input_tokens: 9999 },
  };
  const drafts: Draft[] = [
    { event: { id: 'compacted', type: 'agent.thread_context_compacted' }, extra: { compaction } },
    {
      event: { id: 'compact-end', type: 'span.model_request_end', ...end },
      extra: { outcome: { stop: 'compacted' } },
    },
  ];
  return { before, prompt, after: entriesOf([...head, { drafts, author: 'server' }, ...carriers.slice(at)]) };
}

describe('a compaction', () => {
  test('asks with a request that the API takes, whatever is kept and trimmed', () => {
    fc.assert(
      fc.property(conversations, fc.nat(9), orders, (carriers, which, order) => {
        const made = withCompaction(carriers, which, order);
        if (!made?.prompt) return;
        expect(refusalOf(made.prompt)).toBeUndefined();
        expect(made.prompt.summarises).toBeLessThan(made.before.length - 1);
        expect(blocksOf(made.prompt).at(-1)).toContain(SUMMARY_REQUEST.slice(0, 60));
      }),
      { numRuns: 300 },
    );
  });

  test('leaves every later prefix with a request that the API takes, which begins with the summary', () => {
    fc.assert(
      fc.property(conversations, fc.nat(9), orders, (carriers, which, order) => {
        const made = withCompaction(carriers, which, order);
        if (!made || made.after.length === 0) return;
        for (let end = made.before.length + 2; end <= made.after.length; end += 1) {
          const prompt = toPrompt(made.after.slice(0, end));
          if (!prompt) throw new Error('no prompt');
          expect(refusalOf(prompt)).toBeUndefined();
          expect(blocksOf(prompt)[0]).toContain('What was said.');
        }
      }),
      { numRuns: 100 },
    );
  });

  test('lets later requests do without what it stands for: they are the same from what is read for them', async () => {
    const calls = [{ id: 'call', name: 'bash', input: {}, index: 0 }];
    await fc.assert(
      fc.asyncProperty(conversations, fc.nat(9), orders, async (carriers, which, order) => {
        const { after = [] } = withCompaction(carriers, which, order) ?? {};
        const sessions = { getEvents: async (_: string, slice: Slice = {}) => sliceOf(after, slice) };
        for (const { event, position } of after) {
          if (event.type !== 'span.model_request_start') continue;
          const whole = after.slice(0, position + 1);
          const read = await readPromptLog(sessions, 'sesn', event.id);
          expect(toPrompt(read)?.request).toEqual(toPrompt(whole)?.request);
          expect(toCase('judge', read, calls)).toEqual(toCase('judge', whole, calls));
        }
      }),
      { numRuns: 100 },
    );
  });

  test('keeps every message that nobody has answered yet, word for word', () => {
    fc.assert(
      fc.property(conversations, fc.string({ minLength: 1 }), (carriers, words) => {
        const text = `.${words}`;
        const order = { trim: 0, keepAnswers: 0, requests: [] };
        const asked: Carrier[] = [
          ...carriers,
          {
            drafts: [{ event: { id: 'last', type: 'user.message', content: [{ type: 'text', text }] } }],
            author: 'client',
          },
          { drafts: [{ processed: 'last' }], author: 'server' },
          { drafts: [{ event: { id: 'span', type: 'span.model_request_start' } }], author: 'server' },
        ];
        const last = withCompaction(asked, spanCount(asked) - 1, order);
        if (!last || last.after.length === 0) return;
        const prompt = toPrompt(last.after.slice(0, last.before.length + 3));
        expect(blocksOf(prompt).some((block) => block.includes(JSON.stringify(text)))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('that is trimmed keeps what it is about, and what came last', () => {
    const round = (at: number): Carrier[] => [
      { drafts: [{ event: { id: `s${at}`, type: 'span.model_request_start' } }], author: 'server' },
      {
        drafts: [
          {
            event: {
              id: `c${at}`,
              type: 'agent.tool_use',
              name: 'bash',
              input: { at },
              evaluated_permission: 'allow',
            },
            extra: { blocks: [0], callId: `toolu_${at}` },
          },
          {
            event: {
              id: `e${at}`,
              type: 'span.model_request_end',
              model_request_start_id: `s${at}`,
              is_error: false,
              model_usage: NO_USAGE,
            },
            extra: { outcome: { stop: 'tool_use' } },
          },
          { event: { id: `r${at}`, type: 'agent.tool_result', tool_use_id: `c${at}`, content: [] } },
        ],
        author: 'server',
      },
    ];
    const carriers: Carrier[] = [
      { drafts: [created()], author: 'server' },
      {
        drafts: [{ event: { id: 'm', type: 'user.message', content: [{ type: 'text', text: 'the task' }] } }],
        author: 'client',
      },
      { drafts: [{ processed: 'm' }], author: 'server' },
      ...Array.from({ length: 16 }, (_, at) => round(at)).flat(),
    ];
    const calls = (trim: number): string[] => {
      const made = withCompaction([...carriers, ...round(16)], 16, { trim, keepAnswers: 0, requests: [] });
      if (!made?.prompt) throw new Error('no prompt');
      expect(refusalOf(made.prompt)).toBeUndefined();
      const blocks = blocksOf(made.prompt);
      expect(blocks[0]).toContain('the task');
      return blocks.flatMap((block) => /"at":(\d+)/.exec(block)?.[1] ?? []);
    };
    expect(calls(0)).toHaveLength(16);
    expect(calls(2)).toEqual(['8', '9', '10', '11', '12', '13', '14', '15']);
    expect(calls(3)).toEqual(['12', '13', '14', '15']);
    expect(calls(4)).toEqual(['14', '15']);
  });

  test('is not made where nothing stands before what waits for an answer', () => {
    const entries = entriesOf([
      { drafts: [created()], author: 'server' },
      {
        drafts: [{ event: { id: 'm', type: 'user.message', content: [{ type: 'text', text: 'hello' }] } }],
        author: 'client',
      },
      {
        drafts: [
          { processed: 'm' },
          {
            event: { id: 's', type: 'span.model_request_start' },
            extra: { compact: { trim: 0, keepAnswers: 2, requests: [] } },
          },
        ],
        author: 'server',
      },
    ]);
    expect(toPrompt(entries)).toBeUndefined();
  });

  test('keeps answers that begin with a thought, where the model insists on one', () => {
    const agent = { ...AGENT, model: { id: 'claude-sonnet-4-5' } };
    const spoken = (span: string, thinks: boolean): Carrier[] => [
      { drafts: [{ event: { id: span, type: 'span.model_request_start' } }], author: 'server' },
      {
        drafts: [
          ...(thinks
            ? [
                {
                  event: { id: `${span}-t`, type: 'agent.thinking' as const },
                  extra: { blocks: [0], thinking: { type: 'redacted_thinking', data: 'aGk=' } },
                },
              ]
            : []),
          {
            event: {
              id: `${span}-c`,
              type: 'agent.tool_use',
              name: 'bash',
              input: {},
              evaluated_permission: 'allow',
            },
            extra: { blocks: [1], callId: `toolu_${span}` },
          },
          {
            event: {
              id: `${span}-e`,
              type: 'span.model_request_end',
              model_request_start_id: span,
              is_error: false,
              model_usage: NO_USAGE,
            },
            extra: { outcome: { stop: 'tool_use' } },
          },
          { event: { id: `${span}-r`, type: 'agent.tool_result', tool_use_id: `${span}-c`, content: [] } },
        ],
        author: 'server',
      },
    ];
    const carriers: Carrier[] = [
      { drafts: [created(agent)], author: 'server' },
      {
        drafts: [{ event: { id: 'm', type: 'user.message', content: [{ type: 'text', text: 'go' }] } }],
        author: 'client',
      },
      { drafts: [{ processed: 'm' }], author: 'server' },
      ...spoken('s1', true),
      ...spoken('s2', false),
      ...spoken('s3', false),
      { drafts: [{ event: { id: 's4', type: 'span.model_request_start' } }], author: 'server' },
    ];
    const made = withCompaction(carriers, 3, { trim: 0, keepAnswers: 2, requests: [] });
    const prompt = toPrompt(made?.after ?? []);
    if (!prompt) throw new Error('no prompt');
    // Neither of the two newest begins with one, so none is kept.
    expect(messagesOf(prompt)).toHaveLength(1);
    expect(refusalOf(prompt)).toBeUndefined();
  });
});

function spanCount(carriers: readonly Carrier[]): number {
  return spanStarts(entriesOf(carriers)).length;
}

test('the log is offered to read once something of it is left out, unless the agent has a tool of that name', () => {
  const carriers = (tools: unknown[]): Carrier[] => [
    { drafts: [created({ ...AGENT, tools })], author: 'server' },
    {
      drafts: [{ event: { id: 'm', type: 'user.message', content: [{ type: 'text', text: 'go' }] } }],
      author: 'client',
    },
    { drafts: [{ processed: 'm' }], author: 'server' },
    {
      drafts: [
        { event: { id: 's', type: 'span.model_request_start' } },
        {
          event: { id: 'a', type: 'agent.message', content: [{ type: 'text', text: 'yes' }] },
          extra: { blocks: [0] },
        },
        {
          event: {
            id: 'e',
            type: 'span.model_request_end',
            model_request_start_id: 's',
            is_error: false,
            model_usage: NO_USAGE,
          },
          extra: { outcome: { stop: 'end_turn' } },
        },
      ],
      author: 'server',
    },
    { drafts: [{ event: { id: 's2', type: 'span.model_request_start' } }], author: 'server' },
  ];
  const order = { trim: 0, keepAnswers: 0, requests: [] };
  const own = { type: 'custom', name: RECALL_TOOL, description: 'Mine.', input_schema: { type: 'object' } };
  const names = (prompt: Prompt | undefined) =>
    (prompt?.request.tools ?? []).map((tool) => 'name' in tool && tool.name);
  const plain = withCompaction(carriers([]), 1, order);
  expect(names(toPrompt(entriesOf(carriers([]))))).toEqual([]);
  expect(names(toPrompt(plain?.after ?? []))).toEqual([RECALL_TOOL]);
  expect(toPrompt(plain?.after ?? [])?.toolbox.treatmentOf(RECALL_TOOL)).toMatchObject({ runner: 'log' });
  const taken = withCompaction(carriers([own]), 1, order);
  expect(names(toPrompt(taken?.after ?? []))).toEqual([RECALL_TOOL]);
  expect(toPrompt(taken?.after ?? [])?.toolbox.treatmentOf(RECALL_TOOL)).toEqual({ runner: 'client' });
});
