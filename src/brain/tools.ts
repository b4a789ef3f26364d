/** Which tools a session's agent offers, and under which policy each call runs (wire-api sections 7.1 and 7.3). Pure. */
import { betaAgentToolset20260401 } from '@anthropic-ai/sdk/tools/agent-toolset/node';
import { PLAIN_TOOLS, settingsOf, type PermissionPolicy, type Tool } from '../wire/agent-tools.ts';
import type { Evaluation, Permission } from '../wire/event.ts';

/** A tool as the model is told of it. */
export interface OfferedTool {
  readonly name: string;
  readonly description: string;
  readonly input_schema: { readonly type: 'object' } & Readonly<Record<string, unknown>>;
}

/** How a call to a tool is to be treated. */
export type Treatment =
  | { readonly runner: 'client' }
  | { readonly runner: 'hand' | 'log'; readonly permission: Permission; readonly evaluation?: Evaluation }
  /** What may be done with it differs from call to call: the judge says. */
  | { readonly runner: 'hand'; readonly permission: 'judge' };

/** A session's tools. */
export interface Toolbox {
  readonly offered: readonly OfferedTool[];
  treatmentOf(name: string): Treatment;
}

/** The six tools that a hand runs, described by the SDK that runs them there. */
const HAND_TOOLS: readonly OfferedTool[] = betaAgentToolset20260401({ workdir: '/workspace' }).map((tool) => {
  if (!('input_schema' in tool)) throw new Error('the SDK toolset has a tool without a schema');
  const { name, description = '', input_schema } = tool;
  return { name, description, input_schema };
});

/** Reads a session agent's `tools`. Entries are those of our own wire schema, checked when they came in. */
export function toolboxOf(tools: unknown): Toolbox {
  const entries = (Array.isArray(tools) ? tools : []) as readonly Tool[];
  const custom = entries.filter((entry) => entry.type === 'custom');
  const toolset = entries.find((entry) => entry.type === 'agent_toolset_20260401');
  const configOf = (name: string) => {
    const tool = PLAIN_TOOLS.find((plain) => plain === name);
    return toolset && tool ? settingsOf(toolset, tool) : undefined;
  };
  return {
    offered: [
      ...HAND_TOOLS.filter(({ name }) => configOf(name)?.enabled === true),
      ...custom.map(({ name, description, input_schema }): OfferedTool => ({
        name,
        description,
        input_schema,
      })),
    ],
    treatmentOf(name) {
      if (custom.some((tool) => tool.name === name)) return { runner: 'client' };
      const config = configOf(name);
      if (config?.enabled !== true) return { runner: 'hand', permission: 'deny' };
      return { runner: 'hand', ...evaluate(config.permission_policy.type) };
    },
  };
}

function evaluate(
  policy: PermissionPolicy['type'],
): { permission: Permission; evaluation: Evaluation } | { permission: 'judge' } {
  switch (policy) {
    case 'always_allow':
      return { permission: 'allow', evaluation: { type: 'always_allow' } };
    case 'always_ask':
      return { permission: 'ask', evaluation: { type: 'always_ask' } };
    case 'auto':
      return { permission: 'judge' };
  }
}
