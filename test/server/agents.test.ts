/** Conformance checks 1 to 7: agents. */
import { describe, expect, it } from 'vitest';
import { BadRequestError, ConflictError } from '@anthropic-ai/sdk';
import { collect, failureOf } from '../support/control-plane.ts';
import { unique } from '../support/client.ts';
import { only, script, textOf, TOOLSET, useTestbed } from '../support/turns.ts';

const bed = useTestbed();
const { client, calls } = bed;
const { agents } = client.beta;

describe('agents', () => {
  it('check 1: what was left out is filled in, and the model becomes an object', async () => {
    const made = await agents.create({ name: 'plain', model: 'claude-sonnet-5', tools: [TOOLSET] });
    const agent = await agents.retrieve(made.id);

    expect(agent).toEqual(made);
    expect(agent).toEqual({
      id: expect.stringMatching(/^agent_01\w{22}$/),
      type: 'agent',
      version: 1,
      name: 'plain',
      model: { id: 'claude-sonnet-5', effort: { type: 'high' }, speed: 'standard' },
      description: null,
      system: null,
      tools: [
        {
          type: 'agent_toolset_20260401',
          default_config: { enabled: true, permission_policy: { type: 'always_allow' } },
          configs: [],
        },
      ],
      mcp_servers: [],
      skills: [],
      multiagent: null,
      execution_identity: { type: 'service_account' },
      metadata: {},
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
      updated_at: made.created_at,
      archived_at: null,
    });
  });

  it('check 2: an update makes a version, and both stay readable', async () => {
    const { id } = await bed.agent({ system: 'old' });
    const updated = await agents.update(id, { version: 1, system: 'x' });

    expect(updated).toMatchObject({ id, version: 2, system: 'x' });
    const versions = await collect(agents.versions.list(id));
    expect(versions.map(({ version, system }) => [version, system])).toEqual([
      [2, 'x'],
      [1, 'old'],
    ]);
    expect(await agents.retrieve(id, { version: 1 })).toMatchObject({ version: 1, system: 'old' });
    expect(await agents.retrieve(id)).toEqual(updated);
  });

  it('check 3: a stale version is refused once, without retries', async () => {
    const { id } = await bed.agent();
    await agents.update(id, { version: 1, system: 'two' });
    const before = calls.length;
    const error = await failureOf(agents.update(id, { version: 1, system: 'three' }));

    expect(error).toBeInstanceOf(ConflictError);
    expect(error).toMatchObject({ status: 409, type: 'conflict_error' });
    expect(error.headers?.get('x-should-retry')).toBe('false');
    expect(calls.slice(before)).toHaveLength(1);
    expect(await agents.retrieve(id)).toMatchObject({ version: 2, system: 'two' });
  });

  it('check 4: an update that changes nothing makes no version', async () => {
    const { id } = await bed.agent({ system: 'same', metadata: { a: '1' } });
    const first = await agents.update(id, { version: 1, system: 'changed' });
    const again = await agents.update(id, {
      version: 2,
      name: first.name,
      system: 'changed',
      model: 'claude-sonnet-5',
      tools: [TOOLSET],
      metadata: { a: '1' },
    });

    expect(again).toEqual(first);
    expect(await collect(agents.versions.list(id))).toHaveLength(2);
  });

  it('check 5: metadata is merged by key, and null deletes', async () => {
    const { id } = await bed.agent({ metadata: { a: '1', b: '2' } });
    const updated = await agents.update(id, { version: 1, metadata: { a: null, c: '1' } });
    expect(updated.metadata).toEqual({ b: '2', c: '1' });
  });

  it('check 6: MCP servers and toolsets must name each other', async () => {
    const url = 'https://mcp.example.com/';
    const lonelyServer = { mcp_servers: [{ type: 'url', name: 'github', url }] } as const;
    const lonelyToolset = { tools: [{ type: 'mcp_toolset', mcp_server_name: 'github' }] } as const;
    for (const params of [lonelyServer, lonelyToolset]) {
      const error = await failureOf(bed.agent({ tools: [], ...structuredClone(params) } as never));
      expect(error).toBeInstanceOf(BadRequestError);
      expect(error.type).toBe('invalid_request_error');
      expect(error.message).toContain('github');
    }
  });

  it('check 7: an archived agent starts no session, and its sessions go on', async () => {
    const name = unique('retired');
    const { id } = await bed.agent({ name });
    const live = await bed.live({ agent: id });
    const archived = await agents.archive(id);

    expect(archived.archived_at).not.toBeNull();
    const error = await failureOf(bed.create({ agent: id }));
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(error.message).toContain(id);
    expect((await collect(agents.list({ limit: 100 }))).map((agent) => agent.id)).not.toContain(id);
    const all = await collect(agents.list({ limit: 100, include_archived: true }));
    expect(all.map((agent) => agent.id)).toContain(id);
    expect(await failureOf(agents.update(id, { version: 1, system: 'x' }))).toMatchObject({ status: 400 });
    expect(await agents.archive(id)).toEqual(archived);

    const turn = await live.turn(script({ say: 'still here' }));
    expect(only(turn, 'agent.message').map(textOf)).toEqual(['still here']);
  });
});
