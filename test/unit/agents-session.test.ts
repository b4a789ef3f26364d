import { describe, expect, it } from 'vitest';
import { createAgent, agentCreateParams } from '../../src/wire/agent.ts';
import { ApiError } from '../../src/wire/error.ts';
import { parse } from '../../src/wire/parse.ts';
import {
  resolveOverrides,
  sessionAgentParams,
  sessionAgentUpdateParams,
  toAgentReference,
  updateSessionAgent,
} from '../../src/wire/session-agent.ts';

const toolset = { type: 'agent_toolset_20260401' };
const server = { type: 'url', name: 'github', url: 'https://mcp.example.com' };
const serverTools = { type: 'mcp_toolset', mcp_server_name: 'github' };

const agent = createAgent(
  parse(agentCreateParams, {
    name: 'a',
    model: { id: 'm', effort: 'low', speed: 'fast', inference_geo: 'eu' },
    system: 's',
    tools: [toolset, serverTools],
    mcp_servers: [server],
    skills: [{ type: 'anthropic', skill_id: 'pdf' }],
    metadata: { a: '1' },
  }),
  { id: 'agent_1', now: '2026-01-01T00:00:00.000000Z' },
);

const resolve = (params: unknown) => resolveOverrides(agent, parse(sessionAgentParams, params, ['agent']));
const override = (fields: object) => resolve({ type: 'agent_with_overrides', id: 'agent_1', ...fields });

function failure(action: () => unknown): ApiError {
  try {
    action();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error('expected a failure');
}

describe('the agent of a new session', () => {
  it('is the version as it is, without what belongs to the resource', () => {
    const { metadata: _, created_at: _c, updated_at: _u, archived_at: _a, ...rest } = agent;
    expect(resolve('agent_1')).toEqual(rest);
    expect(resolve({ type: 'agent', id: 'agent_1', version: 1 })).toEqual(rest);
    expect(override({})).toEqual(rest);
  });

  it('names the agent and the version that are asked for', () => {
    expect(toAgentReference('agent_1')).toEqual({ id: 'agent_1', version: undefined });
    expect(toAgentReference({ type: 'agent', id: 'agent_1', version: 2 })).toEqual({
      id: 'agent_1',
      version: 2,
    });
    const wrong = failure(() => resolve({ type: 'agent', id: 'agent_1', version: 0 }));
    expect(wrong.message).toBe('agent.version: must be greater than or equal to 1');
    expect(failure(() => resolve({ type: 'agent', id: 'agent_1', system: 'x' })).message).toBe(
      'agent.system: Extra inputs are not permitted',
    );
    expect(failure(() => resolve({ type: 'self' })).message).toBe('agent.type: Unknown type "self"');
    expect(failure(() => resolve(7)).status).toBe(400);
  });

  it('clears by null and empty, and replaces whole (check 35)', () => {
    expect(override({ system: null })).toMatchObject({ system: null, id: 'agent_1', version: 1 });
    expect(override({ skills: null, tools: [], mcp_servers: [] })).toMatchObject({
      skills: [],
      tools: [],
      mcp_servers: [],
    });
    expect(override({ tools: [toolset], mcp_servers: null }).tools).toEqual([
      {
        ...toolset,
        default_config: { enabled: true, permission_policy: { type: 'always_allow' } },
        configs: [],
      },
    ]);
  });

  it('drops effort and place with another model, unless restated', () => {
    expect(override({ model: 'm' }).model).toEqual({ id: 'm', effort: { type: 'high' }, speed: 'standard' });
    expect(override({ model: { id: 'n', effort: 'max' } }).model).toEqual({
      id: 'n',
      effort: { type: 'max' },
      speed: 'standard',
    });
  });

  it('refuses to be without a model, by its code', () => {
    const error = failure(() => override({ model: null }));
    expect(error).toMatchObject({
      status: 400,
      type: 'invalid_request_error',
      details: { error_code: 'agent_model_required' },
    });
  });

  it('refuses parts that no longer fit together', () => {
    expect(failure(() => override({ tools: [], mcp_servers: [] })).message).toMatch(/^skills: /);
    expect(failure(() => override({ mcp_servers: [] })).message).toContain('mcp_toolset references [github]');
    expect(failure(() => override({ tools: [toolset] })).message).toContain(
      'mcp_servers [github] not referenced',
    );
  });
});

describe('the agent of a living session', () => {
  const base = resolve('agent_1');
  const update = (params: unknown) =>
    updateSessionAgent(base, parse(sessionAgentUpdateParams, params, ['agent']));

  it('takes new tools and servers, whole', () => {
    const changed = update({ tools: [toolset], mcp_servers: [] });
    expect(changed).toEqual({ ...base, mcp_servers: [], tools: [base.tools[0]] });
    expect(agent.tools).toHaveLength(2);
  });

  it('is the same object when nothing changes', () => {
    expect(update({})).toBe(base);
    expect(update({ tools: [toolset, serverTools], mcp_servers: [server] })).toBe(base);
  });

  it('refuses anything else, and parts that do not fit', () => {
    for (const field of ['system', 'skills']) {
      expect(failure(() => update({ [field]: null })).message).toBe(
        `\`agent.${field}\`: only \`tools\` and \`mcp_servers\` are updatable. To change other fields, create a new session.`,
      );
    }
    expect(failure(() => update({ model: 'm' })).message).toBe('agent.model: Extra inputs are not permitted');
    expect(failure(() => update({ mcp_servers: [] })).message).toContain('mcp_toolset references [github]');
    expect(failure(() => update({ tools: [] })).status).toBe(400);
  });
});
