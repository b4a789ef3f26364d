/** The scripted model's own latency, asked directly: what a turn would take if nothing stood in between. */
import Anthropic from '@anthropic-ai/sdk';
import type { BetaMessageParam } from '@anthropic-ai/sdk/resources/beta/messages/messages';
import { betaAgentToolset20260401 } from '@anthropic-ai/sdk/tools/agent-toolset/node';

/** Asks the model for the answer to a plain turn; answers how long that took, in milliseconds. */
export type Ask = () => Promise<number>;

/** Always at the end of a conversation of so many turns: a longer prompt takes the model longer. */
export async function createAsk(url: string, turnsBefore: number): Promise<Ask> {
  const client = new Anthropic({ apiKey: 'any', baseURL: url, maxRetries: 0 });
  const tools = betaAgentToolset20260401({ workdir: '/workspace' });
  const request = (messages: BetaMessageParam[]) =>
    client.beta.messages
      .stream({
        model: 'claude-sonnet-5',
        max_tokens: 32_000,
        thinking: { type: 'adaptive' },
        messages,
        tools,
      })
      .finalMessage();
  const greeting = (turn: number): BetaMessageParam => ({ role: 'user', content: `hello ${turn}` });
  const { content } = await request([greeting(0)]);
  const said = content.flatMap((block) => (block.type === 'text' ? [block.text] : [])).join('');
  const before = Array.from({ length: turnsBefore }, (_, turn): BetaMessageParam[] => [
    greeting(turn),
    { role: 'assistant', content: said },
  ]).flat();
  return async () => {
    const start = performance.now();
    await request([...before, greeting(turnsBefore)]);
    return performance.now() - start;
  };
}
