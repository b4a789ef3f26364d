/**
 * What must hold between the parts of an agent (wire-api sections 6.1, 6.2, 7.1). Checked on the result of every
 * create, update and override, not on what was sent: a part that was left alone can be what no longer fits.
 */
import { BUILT_IN_TOOLS, settingsOf, type Tool } from './agent-tools.ts';
import { referenced } from './agent-web-tools.ts';
import { invalidRequest } from './error.ts';
import { duplicates } from './fields.ts';

/** A server whose tools an agent may use. Holds no credential: that comes from a vault. */
export interface McpServer {
  type: 'url';
  name: string;
  url: string;
}

/** The parts that depend on each other. */
export interface AgentParts {
  readonly tools: readonly Tool[];
  readonly mcp_servers: readonly McpServer[];
  readonly skills: readonly { readonly type: string; readonly skill_id: string }[];
}

const MAX_TOOLS = 256;

/** Throws 400 with the first rule that is broken. */
export function checkAgentParts(parts: AgentParts): void {
  const rules = [toolsetRule, toolNameRule, toolCountRule, webRule, serverRule, skillRule];
  for (const rule of rules) {
    const problem = rule(parts);
    if (problem !== undefined) throw invalidRequest(problem);
  }
}

function toolsetRule({ tools }: AgentParts): string | undefined {
  if (tools.filter((tool) => tool.type === 'agent_toolset_20260401').length > 1) {
    return 'tools: only one agent_toolset_20260401 is allowed';
  }
  for (const [index, tool] of tools.entries()) {
    const twice = tool.type === 'custom' ? [] : duplicates(tool.configs.map((config) => config.name));
    if (twice.length > 0) return `tools[${index}].configs: duplicate name ${list(twice)}`;
  }
  return undefined;
}

function toolNameRule({ tools }: AgentParts): string | undefined {
  const custom = tools.flatMap((tool) => (tool.type === 'custom' ? [tool.name] : []));
  const builtIn = tools.some((tool) => tool.type === 'agent_toolset_20260401') ? BUILT_IN_TOOLS : [];
  const twice = duplicates([...builtIn, ...custom]);
  return twice.length > 0 ? `tools: duplicate tool name ${list(twice)}` : undefined;
}

/** The tools of an MCP server are known only when it is asked, so only the configured ones count here. */
function toolCountRule({ tools }: AgentParts): string | undefined {
  const count = tools.reduce((sum, tool) => {
    if (tool.type === 'custom') return sum + 1;
    return sum + (tool.type === 'mcp_toolset' ? tool.configs.length : BUILT_IN_TOOLS.length);
  }, 0);
  return count > MAX_TOOLS
    ? `tools: must contain no more than ${MAX_TOOLS} tools across all toolsets`
    : undefined;
}

function webRule({ tools }: AgentParts): string | undefined {
  const custom = tools.flatMap((tool) => (tool.type === 'custom' ? [tool.name] : []));
  for (const [index, tool] of tools.entries()) {
    if (tool.type !== 'agent_toolset_20260401') continue;
    for (const [at, config] of tool.configs.entries()) {
      if (config.name !== 'web_fetch' && config.name !== 'web_search') continue;
      const path = `tools[${index}].configs[${at}]`;
      if (config.allowed_domains && config.blocked_domains) {
        return `${path}: Only one of allowed_domains or blocked_domains may be set.`;
      }
      if (config.name === 'web_search') continue;
      const unknown = referenced(config.url_sources?.client_tool_results).filter(
        (name) => !custom.includes(name),
      );
      if (unknown.length > 0) {
        return `${path}.url_sources.client_tool_results: ${list(unknown)} is no custom tool of this agent`;
      }
    }
  }
  return undefined;
}

function serverRule({ tools, mcp_servers }: AgentParts): string | undefined {
  const servers = mcp_servers.map((server) => server.name);
  const used = tools.flatMap((tool) => (tool.type === 'mcp_toolset' ? [tool.mcp_server_name] : []));
  if (duplicates(servers).length > 0) return `mcp_servers: duplicate name ${list(duplicates(servers))}`;
  if (duplicates(used).length > 0) return `tools: more than one mcp_toolset for ${list(duplicates(used))}`;
  const dangling = used.filter((name) => !servers.includes(name));
  if (dangling.length > 0)
    return `mcp_toolset references ${list(dangling)} but no matching entry in mcp_servers`;
  const unused = servers.filter((name) => !used.includes(name));
  return unused.length > 0
    ? `mcp_servers ${list(unused)} not referenced by any mcp_toolset in tools`
    : undefined;
}

function skillRule({ tools, skills }: AgentParts): string | undefined {
  if (skills.length === 0) return undefined;
  const twice = duplicates(skills.map((skill) => `${skill.type}/${skill.skill_id}`));
  if (twice.length > 0) return `skills: duplicate skill ${list(twice)}`;
  const toolset = tools.find((tool) => tool.type === 'agent_toolset_20260401');
  if (toolset !== undefined && settingsOf(toolset, 'read').enabled) return undefined;
  return 'skills: the `read` tool of agent_toolset_20260401 must be enabled when skills are set';
}

function list(names: readonly string[]): string {
  return `[${names.join(' ')}]`;
}
