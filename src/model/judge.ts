/**
 * The scripted judge. A harness asks a model about tool calls before they run by offering it one tool, `judge_calls`,
 * and by showing it the calls as JSON between `<calls>` tags. The scripted model answers by words in their inputs:
 * `drover:deny`, `drover:unsure`; everything else it allows. `drover:judge-fails` makes it overloaded,
 * `drover:judge-waits` keeps it busy for ten minutes.
 */
import { z } from 'zod';
import type { Step } from './directives.ts';
import { illegal } from './error.ts';
import type { MessagesRequest } from './shape.ts';

const TOOL = 'judge_calls';
const LONG_MS = 600_000;

const shownCalls = z.array(z.looseObject({ call: z.int(), tool: z.string(), input: z.string() })).min(1);

/** Whether a request asks for a judgement. */
export function isJudgeRequest({ tools }: MessagesRequest): boolean {
  return tools.length === 1 && tools[0]?.name === TOOL;
}

/** What the judge answers. Throws ApiError where it is not shown any calls. */
export function judgeStep({ messages }: MessagesRequest): Step {
  const text = messages.flatMap(({ content }) =>
    content.map((block) => (block.type === 'text' ? block.text : '')),
  );
  const calls = readCalls(text.join('\n'));
  const says = (word: string): boolean => calls.some(({ input }) => input.includes(word));
  const verdicts = calls.map(({ call, input }) => ({
    call,
    reason: 'By the script.',
    verdict: verdictOn(input),
  }));
  return {
    parts: [
      ...(says('drover:judge-waits') ? [{ kind: 'delay' as const, delayMs: LONG_MS }] : []),
      { kind: 'calls', calls: [{ call: TOOL, input: { verdicts }, unoffered: false }] },
    ],
    failures: says('drover:judge-fails') ? [{ fail: 529 }] : [],
  };
}

function verdictOn(input: string): 'allow' | 'deny' | 'unsure' {
  if (input.includes('drover:deny')) return 'deny';
  return input.includes('drover:unsure') ? 'unsure' : 'allow';
}

function readCalls(text: string): z.output<typeof shownCalls> {
  const json = /<calls>(?<json>[\s\S]*?)<\/calls>/.exec(text)?.groups?.['json'];
  try {
    return shownCalls.parse(JSON.parse(json ?? ''));
  } catch {
    throw illegal('The scripted judge finds no calls: a JSON list between <calls> and </calls> is needed.');
  }
}
