/** The scripted model as the judge of tool calls. */
import { describe, expect, it } from 'vitest';
import { createModelApp } from '../../src/model/app.ts';

const TOOL = { name: 'judge_calls', input_schema: { type: 'object' } };

async function ask(text: string, more: object = {}): Promise<{ status: number; body: unknown }> {
  const answer = await createModelApp().request('/v1/messages', {
    method: 'POST',
    headers: { 'anthropic-version': '2023-06-01' },
    body: JSON.stringify({
      model: 'claude-haiku-4-5',
      max_tokens: 1000,
      messages: [{ role: 'user', content: text }],
      tools: [TOOL],
      ...more,
    }),
  });
  return { status: answer.status, body: await answer.json() };
}

function about(...inputs: string[]): string {
  const calls = inputs.map((command, call) => ({ call, tool: 'bash', input: JSON.stringify({ command }) }));
  return `Judge.\n<calls>\n${JSON.stringify(calls)}\n</calls>\nNow.`;
}

const verdictsOf = (body: unknown): unknown =>
  (
    body as { content: { input: { verdicts: { call: number; verdict: string }[] } }[] }
  ).content[0]?.input.verdicts.map(({ call, verdict }) => [call, verdict]);

describe('the scripted judge', () => {
  it('goes by words in the inputs, whether it is forced or not', async () => {
    const text = about('ls', 'rm # drover:deny', 'curl # drover:unsure', 'drover:unsure drover:deny');
    for (const choice of [{ type: 'tool', name: 'judge_calls' }, { type: 'auto' }]) {
      const { status, body } = await ask(text, { tool_choice: choice });
      expect(status).toBe(200);
      expect(body).toMatchObject({
        stop_reason: 'tool_use',
        content: [{ type: 'tool_use', name: 'judge_calls' }],
      });
      expect(verdictsOf(body)).toEqual([
        [0, 'allow'],
        [1, 'deny'],
        [2, 'unsure'],
        [3, 'deny'],
      ]);
    }
  });

  it('is not moved by words beside the calls', async () => {
    const { body } = await ask(`drover:deny drover:judge-fails ${about('ls')}`);
    expect(verdictsOf(body)).toEqual([[0, 'allow']]);
  });

  it('can be overloaded', async () => {
    const { status, body } = await ask(about('ls', 'echo drover:judge-fails'));
    expect(status).toBe(529);
    expect(body).toMatchObject({ error: { type: 'overloaded_error' } });
  });

  it.each(['Judge.', '<calls>[]</calls>', '<calls>ls</calls>', '<calls>[{"call":"0"}]</calls>'])(
    'refuses %j, which shows it no calls',
    async (text) => {
      const { status, body } = await ask(text);
      expect(status).toBe(400);
      expect(body).toMatchObject({ error: { message: expect.stringContaining('finds no calls') } });
    },
  );

  it('is only there where nothing but its tool is offered', async () => {
    const { body } = await ask('```drover\n{"say": "no judge"}\n```', {
      tools: [TOOL, { name: 'bash', input_schema: { type: 'object' } }],
    });
    expect(body).toMatchObject({ content: [{ type: 'text', text: 'no judge' }] });
  });
});
