import { describe, expect, test } from 'vitest';
import { toolboxOf } from '../../src/brain/tools.ts';

const HAND_TOOLS = ['bash', 'read', 'write', 'edit', 'glob', 'grep'];
const on = (policy: string, enabled = true) => ({ enabled, permission_policy: { type: policy } });
const toolset = (fallback: object, ...configs: object[]) => ({
  type: 'agent_toolset_20260401',
  default_config: fallback,
  configs,
});
const config = (name: string, settings: object) => ({ name, type: name, ...settings });
const custom = (name: string) => ({
  type: 'custom',
  name,
  description: `Does ${name}.`,
  input_schema: { type: 'object', properties: { at: { type: 'string' } }, required: ['at'] },
});
const names = (tools: unknown): string[] => toolboxOf(tools).offered.map(({ name }) => name);

describe('offered', () => {
  test.each([undefined, null, [], {}, 'bash'])('is nothing by %j', (tools) => {
    expect(names(tools)).toEqual([]);
  });

  test('are the six tools that a hand runs, as the SDK describes them', () => {
    const { offered } = toolboxOf([toolset(on('always_allow'))]);
    expect(offered.map(({ name }) => name).toSorted()).toEqual(HAND_TOOLS.toSorted());
    for (const tool of offered) {
      expect(Object.keys(tool).toSorted()).toEqual(['description', 'input_schema', 'name']);
      expect(tool.description).not.toBe('');
      expect(tool.input_schema.type).toBe('object');
    }
  });

  test('is what is enabled, by the default or by itself', () => {
    expect(names([toolset(on('always_allow', false), config('bash', on('always_ask')))])).toEqual(['bash']);
    expect(names([toolset(on('always_allow'), config('bash', on('always_allow', false)))])).not.toContain(
      'bash',
    );
    expect(names([toolset(on('always_allow', false))])).toEqual([]);
  });

  test('are custom tools as they are, behind the others', () => {
    const { offered } = toolboxOf([custom('first'), toolset(on('always_allow')), custom('second')]);
    expect(offered.slice(0, 6).map(({ name }) => name)).not.toContain('first');
    const { type: _, ...expected } = custom('second');
    expect(offered.slice(6).map(({ name }) => name)).toEqual(['first', 'second']);
    expect(offered.at(-1)).toEqual(expected);
  });

  test('is nothing that no hand can run yet', () => {
    const all = [
      toolset(on('always_allow'), config('web_search', on('always_allow'))),
      { type: 'mcp_toolset', mcp_server_name: 'github', default_config: on('always_allow'), configs: [] },
    ];
    expect(names(all).toSorted()).toEqual(HAND_TOOLS.toSorted());
  });

  test('has the same order each time, which the prompt cache needs', () => {
    const tools = [toolset(on('always_allow')), custom('a')];
    expect(JSON.stringify(toolboxOf(tools).offered)).toBe(
      JSON.stringify(toolboxOf(structuredClone(tools)).offered),
    );
  });
});

describe('a call', () => {
  const { treatmentOf } = toolboxOf([
    toolset(
      on('always_allow'),
      config('write', on('always_ask')),
      config('edit', on('auto')),
      config('glob', on('always_allow', false)),
      config('web_fetch', on('always_allow')),
    ),
    custom('ask_user'),
  ]);

  test('runs under the policy of its tool', () => {
    expect(treatmentOf('bash')).toEqual({
      runner: 'hand',
      permission: 'allow',
      evaluation: { type: 'always_allow' },
    });
    expect(treatmentOf('write')).toEqual({
      runner: 'hand',
      permission: 'ask',
      evaluation: { type: 'always_ask' },
    });
  });

  test('is left to the judge under `auto`', () => {
    expect(treatmentOf('edit')).toEqual({ runner: 'hand', permission: 'judge' });
  });

  test.each(['glob', 'web_fetch', 'web_search', 'invented', '', 'toString'])(
    'to "%s" is refused, under no policy',
    (name) => {
      expect(treatmentOf(name)).toEqual({ runner: 'hand', permission: 'deny' });
    },
  );

  test('to a custom tool is the client to run', () => {
    expect(treatmentOf('ask_user')).toEqual({ runner: 'client' });
  });

  test('is refused where there is no toolset', () => {
    expect(toolboxOf([custom('ask_user')]).treatmentOf('bash')).toEqual({
      runner: 'hand',
      permission: 'deny',
    });
  });
});
