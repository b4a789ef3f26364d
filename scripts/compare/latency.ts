/** The scripted model's own latency, asked directly: what a turn would take if nothing stood in between. */
import Anthropic from '@anthropic-ai/sdk';
import type { BetaMessageParam } from '@anthropic-ai/sdk/resources/beta/messages/messages';
import { betaAgentToolset20260401 } from '@anthropic-ai/sdk/tools/agent-toolset/node';

/** Answers to plain turns at the end of a conversation of so many turns: a longer prompt takes the model longer. */
export async function modelLatencies(url: string, turnsBefore: number, runs: number): Promise<number[]> {
  const client = new Anthropic({ apiKey: 'any', baseURL: url, maxRetries: 0 });
  const tools = betaAgentToolset20260401({ workdir: '/workspace' });
  const messages: BetaMessageParam[] = [];
  let said = '';
  const ask = async (turn: number): Promise<number> => {
    messages.push({ role: 'user', content: `hello ${turn}` });
    const start = performance.now();
    const stream = client.beta.messages.stream({
      model: 'claude-sonnet-5',
      max_tokens: 32_000,
      thinking: { type: 'adaptive' },
      messages,
      tools,
    });
    const { content } = await stream.finalMessage();
    const took = performance.now() - start;
    said = content.flatMap((block) => (block.type === 'text' ? [block.text] : [])).join('');
    messages.push({ role: 'assistant', content: said });
    return took;
  };
  await ask(0);
  while (messages.length < 2 * turnsBefore)
    messages.push(
      { role: 'user', content: `hello ${messages.length / 2}` },
      { role: 'assistant', content: said },
    );
  const samples: number[] = [];
  for (let run = 0; run < runs; run += 1) samples.push(await ask(turnsBefore + run));
  return samples;
}
