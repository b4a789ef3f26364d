/**
 * The third runtime: what one writes with the SDK alone. The conversation is an array, the loop is the SDK's, and both
 * are in this process. Nothing is durable: with the process everything is gone but the sandbox, which nobody knows of.
 */
import type Anthropic from '@anthropic-ai/sdk';
import type { BetaRunnableTool } from '@anthropic-ai/sdk/lib/tools/BetaRunnableTool';
import { ToolError } from '@anthropic-ai/sdk/lib/tools/ToolError';
import type {
  BetaMessageParam,
  BetaToolResultBlockParam,
} from '@anthropic-ai/sdk/resources/beta/messages/messages';
import { betaAgentToolset20260401 } from '@anthropic-ai/sdk/tools/agent-toolset/node';
import type { HandRef, Hands } from '../../src/hands.ts';

/** A conversation and what it can do. */
export interface Agent {
  /** Says something and resolves when the model has nothing more to do. `onText` gets the text as it comes. */
  turn(text: string, onText?: (text: string) => void): Promise<void>;
  readonly messages: readonly BetaMessageParam[];
}

/** What an agent is made of. */
export interface AgentParts {
  readonly client: Anthropic;
  readonly hands: Hands;
  /** Names the agent's sandbox. */
  readonly key: string;
}

const MODEL = 'claude-sonnet-5';
const MAX_TOKENS = 32_000;

/** Makes an agent; its sandbox is made by the first call that needs one. */
export function createAgent({ client, hands, key }: AgentParts): Agent {
  const messages: BetaMessageParam[] = [];
  let hand: Promise<HandRef> | undefined;

  const tools = betaAgentToolset20260401({ workdir: '/workspace' }).map((tool): BetaRunnableTool => {
    if (!('input_schema' in tool)) throw new Error('the SDK toolset has a tool without a schema');
    const { name } = tool;
    return {
      ...tool,
      async run(input: Record<string, unknown>, context) {
        const signal = context?.signal ?? new AbortController().signal;
        hand ??= hands.provision(key, { network: 'none' }, { signal });
        const id = context?.toolUse.id ?? crypto.randomUUID();
        const { content, isError } = await hands.execute(await hand, { id, name, input }, { signal });
        const blocks = content as Extract<BetaToolResultBlockParam['content'], unknown[]>;
        if (isError) throw new ToolError(blocks);
        return blocks;
      },
    };
  });

  return {
    messages,
    async turn(text, onText) {
      messages.push({ role: 'user', content: text });
      const runner = client.beta.messages.toolRunner({
        model: MODEL,
        max_tokens: MAX_TOKENS,
        thinking: { type: 'adaptive' },
        messages: [...messages],
        tools,
        stream: true,
        thread: false,
      });
      for await (const stream of runner) {
        if (onText) stream.on('text', onText);
        await stream.finalMessage();
      }
      messages.splice(0, Infinity, ...runner.params.messages);
    },
  };
}
