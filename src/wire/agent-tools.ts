/** `tools` of an agent (wire-api sections 7.1 to 7.3): what clients send, and the materialised form that is kept. */
import { z } from 'zod';
import { text } from './fields.ts';
import { webFetchFields, webSearchFields, resolveWebFetch, resolveWebSearch } from './agent-web-tools.ts';
import type { UrlSources, UserLocation } from './agent-web-tools.ts';

/** Who decides whether a call may run. */
export interface PermissionPolicy {
  type: 'always_allow' | 'always_ask' | 'auto';
}

/** What holds for every tool of a toolset that has no config of its own. */
export interface ToolsetDefault {
  enabled: boolean;
  permission_policy: PermissionPolicy;
}

/** The tools of the agent toolset that have no settings beyond those of all. */
export const PLAIN_TOOLS = ['bash', 'read', 'write', 'edit', 'glob', 'grep'] as const;

/** All tools of the agent toolset. */
export const BUILT_IN_TOOLS = [...PLAIN_TOOLS, 'web_fetch', 'web_search'] as const;

/** A tool of the agent toolset. */
export type BuiltInTool = (typeof BUILT_IN_TOOLS)[number];

type PlainConfig<N extends BuiltInTool> = ToolsetDefault & { name: N; type: N };

interface Domains {
  allowed_domains?: string[];
  blocked_domains?: string[];
}

/** Resolved settings of `web_fetch`. */
interface WebFetchConfig extends PlainConfig<'web_fetch'>, Domains {
  max_content_tokens?: number | null;
  url_sources: UrlSources | null;
}

/** Resolved settings of `web_search`. */
interface WebSearchConfig extends PlainConfig<'web_search'>, Domains {
  user_location?: UserLocation | null;
}

/** Resolved settings of one tool of the agent toolset. */
type BuiltInConfig =
  | { [N in (typeof PLAIN_TOOLS)[number]]: PlainConfig<N> }[(typeof PLAIN_TOOLS)[number]]
  | WebFetchConfig
  | WebSearchConfig;

/** The built-in tools. */
export interface AgentToolset {
  type: 'agent_toolset_20260401';
  default_config: ToolsetDefault;
  configs: BuiltInConfig[];
}

/** The tools of one MCP server. */
interface McpToolset {
  type: 'mcp_toolset';
  mcp_server_name: string;
  default_config: ToolsetDefault;
  configs: (ToolsetDefault & { name: string })[];
}

/** A tool that the client carries out. */
interface CustomTool {
  type: 'custom';
  name: string;
  description: string;
  input_schema: {
    type: 'object';
    properties?: Record<string, unknown> | null;
    required?: string[] | null;
    [key: string]: unknown;
  };
}

/** An entry of `tools`. */
export type Tool = AgentToolset | McpToolset | CustomTool;

const policy = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('always_allow') }),
  z.strictObject({ type: z.literal('always_ask') }),
  z.strictObject({ type: z.literal('auto') }),
]);

const settings = { enabled: z.boolean().nullish(), permission_policy: policy.nullish() };

const defaultConfig = z.strictObject(settings).nullish();

function configOf<N extends BuiltInTool>(name: N) {
  return z.strictObject({ name: z.literal(name), type: z.literal(name).optional(), ...settings });
}

const builtInConfig = z.discriminatedUnion('name', [
  configOf('bash'),
  configOf('read'),
  configOf('write'),
  configOf('edit'),
  configOf('glob'),
  configOf('grep'),
  configOf('web_fetch').extend(webFetchFields),
  configOf('web_search').extend(webSearchFields),
]);

const agentToolset = z.strictObject({
  type: z.literal('agent_toolset_20260401'),
  default_config: defaultConfig,
  configs: z.array(builtInConfig).optional(),
});

const mcpToolset = z.strictObject({
  type: z.literal('mcp_toolset'),
  mcp_server_name: text(255, 1),
  default_config: defaultConfig,
  configs: z.array(z.strictObject({ name: text(128, 1), ...settings })).optional(),
});

const customTool = z.strictObject({
  type: z.literal('custom'),
  name: z.string().regex(/^[a-zA-Z0-9_-]{1,128}$/, {
    error: 'must have 1 to 128 characters of letters, digits, underscores and hyphens',
  }),
  description: z.string(),
  input_schema: z.looseObject({
    type: z.literal('object'),
    properties: z.record(z.string(), z.unknown()).nullish(),
    required: z.array(z.string()).nullish(),
  }),
});

/** `tools` as clients send them. */
export const toolsParams = z
  .array(z.discriminatedUnion('type', [agentToolset, mcpToolset, customTool]))
  .max(256);

/** `tools` as clients send them. */
export type ToolsParams = z.infer<typeof toolsParams>;

type BuiltInConfigParams = z.infer<typeof builtInConfig>;

interface SettingsParams {
  readonly enabled?: boolean | null | undefined;
  readonly permission_policy?: PermissionPolicy | null | undefined;
}

/** The form in which tools are kept and shown: nothing is left to be defaulted later. */
export function resolveTools(params: ToolsParams): Tool[] {
  return params.map((tool) => {
    if (tool.type === 'custom') return resolveCustomTool(tool);
    if (tool.type === 'mcp_toolset') {
      const base = resolveSettings(tool.default_config, {
        enabled: true,
        permission_policy: { type: 'always_ask' },
      });
      const configs = (tool.configs ?? []).map((config) => ({
        name: config.name,
        ...resolveSettings(config, base),
      }));
      return { type: tool.type, mcp_server_name: tool.mcp_server_name, default_config: base, configs };
    }
    const base = resolveSettings(tool.default_config, {
      enabled: true,
      permission_policy: { type: 'always_allow' },
    });
    const configs = (tool.configs ?? []).map((config) => resolveConfig(config, base));
    return { type: tool.type, default_config: base, configs };
  });
}

function resolveSettings(params: SettingsParams | null | undefined, base: ToolsetDefault): ToolsetDefault {
  return {
    enabled: params?.enabled ?? base.enabled,
    permission_policy: { type: (params?.permission_policy ?? base.permission_policy).type },
  };
}

function resolveConfig(params: BuiltInConfigParams, base: ToolsetDefault): BuiltInConfig {
  const common = resolveSettings(params, base);
  if (params.name === 'web_fetch') {
    return { name: params.name, type: params.name, ...common, ...resolveWebFetch(params) };
  }
  if (params.name === 'web_search') {
    return { name: params.name, type: params.name, ...common, ...resolveWebSearch(params) };
  }
  // The name and the type are one and the same literal; the compiler cannot tie them together over a union.
  return { name: params.name, type: params.name, ...common } as BuiltInConfig;
}

function resolveCustomTool(params: z.infer<typeof customTool>): CustomTool {
  const { type, name, description, input_schema } = params;
  return { type, name, description, input_schema: input_schema as CustomTool['input_schema'] };
}

/** The settings that hold for one built-in tool of this toolset. */
export function settingsOf(toolset: AgentToolset, name: BuiltInTool): ToolsetDefault {
  return toolset.configs.find((config) => config.name === name) ?? toolset.default_config;
}
