import { BadRequestError, ConflictError } from '@anthropic-ai/sdk';
import { beforeEach, describe, expect, it } from 'vitest';
import { collect, createTestPlane, failureOf, type TestPlane } from '../support/control-plane.ts';

let plane: TestPlane;

beforeEach(async () => {
  plane = await createTestPlane();
});

const basic = { name: 'a', model: 'claude-opus-5' } as const;
const github = { type: 'url', name: 'github', url: 'https://mcp.example.com/github' } as const;
const githubTools = { type: 'mcp_toolset', mcp_server_name: 'github' } as const;
const toolset = { type: 'agent_toolset_20260401' } as const;
const custom = {
  type: 'custom',
  name: 'weather',
  description: 'd',
  input_schema: { type: 'object' },
} as const;
const allow = { type: 'always_allow' } as const;
const ask = { type: 'always_ask' } as const;

async function refusal(params: object): Promise<string> {
  const failure = await failureOf(plane.client.beta.agents.create({ ...basic, ...params }));
  expect(failure).toBeInstanceOf(BadRequestError);
  expect(failure.type).toBe('invalid_request_error');
  return failure.apiMessage ?? '';
}

describe('create', () => {
  it('fills in every default (check 1)', async () => {
    const made = await plane.client.beta.agents.create({ ...basic, tools: [toolset] });
    expect(made).toEqual({
      id: made.id,
      type: 'agent',
      version: 1,
      name: 'a',
      description: null,
      model: { id: 'claude-opus-5', effort: { type: 'high' }, speed: 'standard' },
      system: null,
      tools: [{ ...toolset, default_config: { enabled: true, permission_policy: allow }, configs: [] }],
      mcp_servers: [],
      skills: [],
      multiagent: null,
      execution_identity: { type: 'service_account' },
      metadata: {},
      created_at: made.created_at,
      updated_at: made.created_at,
      archived_at: null,
    });
    expect(made.id).toMatch(/^agent_01/);
    expect(made.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    expect(await plane.client.beta.agents.retrieve(made.id)).toEqual(made);
  });

  it('materialises each tool from its own config and the default', async () => {
    const { tools, mcp_servers } = await plane.client.beta.agents.create({
      ...basic,
      mcp_servers: [github],
      tools: [
        {
          ...toolset,
          default_config: { enabled: false, permission_policy: ask },
          configs: [
            { name: 'bash', enabled: true },
            { name: 'read', permission_policy: { type: 'auto' } },
            { name: 'web_fetch', allowed_domains: ['docs.example.com'], url_sources: { user_input: 'none' } },
            { name: 'web_search', user_location: { type: 'approximate', country: 'DE' } },
          ],
        },
        { ...githubTools, configs: [{ name: 'search', enabled: false }] },
        custom,
      ],
    });
    expect(tools).toEqual([
      {
        ...toolset,
        default_config: { enabled: false, permission_policy: ask },
        configs: [
          { name: 'bash', type: 'bash', enabled: true, permission_policy: ask },
          { name: 'read', type: 'read', enabled: false, permission_policy: { type: 'auto' } },
          {
            name: 'web_fetch',
            type: 'web_fetch',
            enabled: false,
            permission_policy: ask,
            allowed_domains: ['docs.example.com'],
            url_sources: {
              client_tool_results: null,
              server_tool_results: null,
              user_input: { type: 'none' },
            },
          },
          {
            name: 'web_search',
            type: 'web_search',
            enabled: false,
            permission_policy: ask,
            user_location: { type: 'approximate', country: 'DE' },
          },
        ],
      },
      {
        ...githubTools,
        default_config: { enabled: true, permission_policy: ask },
        configs: [{ name: 'search', enabled: false, permission_policy: ask }],
      },
      custom,
    ]);
    expect(mcp_servers).toEqual([github]);
  });

  it('takes effort as a word or an object', async () => {
    for (const effort of ['max', { type: 'max' }] as const) {
      const { model } = await plane.client.beta.agents.create({
        ...basic,
        model: { id: 'm', effort, speed: 'fast', inference_geo: 'eu' },
      });
      expect(model).toEqual({ id: 'm', effort: { type: 'max' }, speed: 'fast', inference_geo: 'eu' });
    }
  });

  it('keeps skills, at their latest version where none is named', async () => {
    const { skills } = await plane.client.beta.agents.create({
      ...basic,
      tools: [toolset],
      skills: [
        { type: 'anthropic', skill_id: 'xlsx' },
        { type: 'custom', skill_id: 'skill_1', version: '3' },
      ],
    });
    expect(skills).toEqual([
      { type: 'anthropic', skill_id: 'xlsx', version: 'latest' },
      { type: 'custom', skill_id: 'skill_1', version: '3' },
    ]);
  });

  it('demands that servers and toolsets match (check 6)', async () => {
    expect(await refusal({ mcp_servers: [github] })).toBe(
      'mcp_servers [github] not referenced by any mcp_toolset in tools',
    );
    expect(await refusal({ tools: [githubTools, { ...githubTools, mcp_server_name: 'linear' }] })).toBe(
      'mcp_toolset references [github linear] but no matching entry in mcp_servers',
    );
    expect(await refusal({ mcp_servers: [github, github], tools: [githubTools] })).toContain(
      'duplicate name [github]',
    );
    expect(await refusal({ mcp_servers: [github], tools: [githubTools, githubTools] })).toContain(
      'more than one mcp_toolset',
    );
  });

  it('demands the read tool for skills', async () => {
    const skills = [{ type: 'anthropic', skill_id: 'xlsx' }];
    expect(await refusal({ skills })).toMatch(/^skills: /);
    expect(await refusal({ skills, tools: [{ ...toolset, default_config: { enabled: false } }] })).toMatch(
      /^skills: /,
    );
    expect(
      await refusal({ skills, tools: [{ ...toolset, configs: [{ name: 'read', enabled: false }] }] }),
    ).toMatch(/^skills: /);
    await plane.client.beta.agents.create({
      ...basic,
      skills: [{ type: 'anthropic', skill_id: 'xlsx' }],
      tools: [{ ...toolset, default_config: { enabled: false }, configs: [{ name: 'read', enabled: true }] }],
    });
    expect(await refusal({ tools: [toolset], skills: [...skills, ...skills] })).toContain('duplicate skill');
  });

  it.each([
    [{ name: '' }, 'name: must have at least 1 character(s)'],
    [{ name: 'x'.repeat(257) }, 'name: must have no more than 256 character(s)'],
    [{ name: 7 }, 'name: Input should be a valid string'],
    [{ name: undefined }, 'name: Field required'],
    [{ model: undefined }, 'model: Field required'],
    [{ model: '' }, 'model: '],
    [{ model: { id: 'm', effort: 'enormous' } }, 'model.effort: '],
    [{ model: { id: 'm', temperature: 1 } }, 'model.temperature: Extra inputs are not permitted'],
    [{ description: 'x'.repeat(2049) }, 'description: must have no more than 2048 character(s)'],
    [{ system: 'x'.repeat(100_001) }, 'system: must have no more than 100000 character(s)'],
    [{ colour: 'red' }, 'colour: Extra inputs are not permitted'],
    [{ tools: 'all' }, 'tools: Input should be a valid list'],
    [
      { tools: [toolset, { ...toolset, configs: [{ enabled: true }] }] },
      'tools[1].configs[0].name: Field required',
    ],
    [{ tools: [{ ...toolset, configs: [{ name: 'fly' }] }] }, 'tools[0].configs[0].name: Unknown name "fly"'],
    [
      { tools: [{ ...toolset, configs: [{ name: 'bash', type: 'read' }] }] },
      "tools[0].configs[0].type: Input should be 'bash'",
    ],
    [
      { tools: [{ ...toolset, configs: [{ name: 'bash', enabled: 1 }] }] },
      'tools[0].configs[0].enabled: Input should be a valid boolean',
    ],
    [
      { tools: [{ ...toolset, configs: [{ name: 'bash', extra: 1 }] }] },
      'tools[0].configs[0].extra: Extra inputs are not permitted',
    ],
    [
      { tools: [{ ...toolset, default_config: { permission_policy: { type: 'never' } } }] },
      'tools[0].default_config.permission_policy.type: Unknown type "never"',
    ],
    [
      { tools: [{ ...toolset, configs: [{ name: 'bash' }, { name: 'bash' }] }] },
      'tools[0].configs: duplicate name [bash]',
    ],
    [{ tools: [toolset, toolset] }, 'tools: only one agent_toolset_20260401 is allowed'],
    [{ tools: [{ type: 'rocket' }] }, 'tools[0].type: Unknown type "rocket"'],
    [{ tools: [custom, custom] }, 'tools: duplicate tool name [weather]'],
    [{ tools: [toolset, { ...custom, name: 'bash' }] }, 'tools: duplicate tool name [bash]'],
    [{ tools: [{ ...custom, name: 'no spaces' }] }, 'tools[0].name: '],
    [
      { tools: [{ ...custom, input_schema: { type: 'string' } }] },
      "tools[0].input_schema.type: Input should be 'object'",
    ],
    [{ tools: [{ ...custom, description: undefined }] }, 'tools[0].description: Field required'],
    [
      { mcp_servers: [{ ...github, url: 'file:///etc/passwd' }] },
      'mcp_servers[0].url: must be an http or https URL',
    ],
    [
      { mcp_servers: Array.from({ length: 21 }, () => github) },
      'mcp_servers: must contain no more than 20 item(s)',
    ],
    [{ skills: [{ type: 'home-made', skill_id: 'x' }] }, 'skills[0].type: Unknown type "home-made"'],
    [
      { multiagent: { type: 'coordinator', agents: ['agent_1'] } },
      'multiagent: multiagent is not supported by this server yet',
    ],
    [
      { execution_identity: { type: 'aws_role', role_arn: 'arn:aws:iam::1:role/r' } },
      'execution_identity.type: this server supports only',
    ],
    [{ metadata: { a: 1 } }, 'metadata.a: Input should be a valid string'],
    [{ metadata: { a: 'x'.repeat(513) } }, 'metadata.a: must have no more than 512 character(s)'],
    [{ metadata: { ['k'.repeat(65)]: 'x' } }, 'metadata: keys must have 1 to 64'],
    [
      { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'v'])) },
      'metadata: must contain no more than 16 item(s)',
    ],
  ])('refuses %j', async (params, message) => {
    expect((await refusal(params)).slice(0, message.length)).toBe(message);
  });

  it('counts tools across toolsets', async () => {
    const customs = Array.from({ length: 248 }, (_, index) => ({ ...custom, name: `t${index}` }));
    const { tools } = await plane.client.beta.agents.create({ ...basic, tools: [toolset, ...customs] });
    expect(tools).toHaveLength(249);
    expect(await refusal({ tools: [toolset, ...customs, custom] })).toContain('no more than 256');
  });

  it('counts characters, not UTF-16 units', async () => {
    const name = '🐄'.repeat(256);
    expect((await plane.client.beta.agents.create({ ...basic, name })).name).toBe(name);
    expect(await refusal({ name: `${name}x` })).toContain('256');
  });
});

describe('web tools', () => {
  const web = (name: string, fields: object) =>
    refusal({ tools: [custom, { ...toolset, configs: [{ name, ...fields }] }] });

  it.each([
    [{ allowed_domains: [] }, 'allowed_domains: Empty list of domains is ambiguous'],
    [{ allowed_domains: ['https://example.com'] }, 'allowed_domains[0]: must be a plain host name'],
    [{ allowed_domains: ['example.com:80'] }, 'allowed_domains[0]: must be a plain host name'],
    [{ allowed_domains: ['127.0.0.1'] }, 'allowed_domains[0]: must be a plain host name'],
    [{ allowed_domains: ['localhost'] }, 'allowed_domains[0]: must be a plain host name'],
    [{ allowed_domains: ['printer.local'] }, 'allowed_domains[0]: must be a plain host name'],
    [{ allowed_domains: ['example.com/docs'] }, 'allowed_domains[0]: must be a plain host name'],
    [
      { blocked_domains: ['a.example', 'A.example'] },
      'blocked_domains: blocked_domains must not name a domain twice',
    ],
    [
      { blocked_domains: Array.from({ length: 65 }, (_, i) => `h${i}.example`) },
      'blocked_domains: must contain no more than 64',
    ],
    [
      { allowed_domains: ['a.example'], blocked_domains: ['b.example'] },
      'Only one of allowed_domains or blocked_domains',
    ],
    [{ max_content_tokens: 0 }, 'max_content_tokens: must be greater than or equal to 1'],
    [
      { url_sources: { client_tool_results: 'none', server_tool_results: 'none', user_input: 'none' } },
      'url_sources: at least one source',
    ],
    [
      {
        url_sources: {
          server_tool_results: { type: 'only', tools: [{ type: 'tool_reference', name: 'bash' }] },
        },
      },
      'url_sources.server_tool_results: names must be',
    ],
    [
      {
        url_sources: {
          client_tool_results: { type: 'only', tools: [{ type: 'tool_reference', name: 'rain' }] },
        },
      },
      'url_sources.client_tool_results: [rain] is no custom tool',
    ],
    [
      { url_sources: { client_tool_results: { type: 'only', tools: [] } } },
      'url_sources.client_tool_results.tools: must contain at least 1',
    ],
    [{ url_sources: { user_input: 'some' } }, 'url_sources.user_input: '],
  ])('refuse %j', async (fields, message) => {
    expect(await web('web_fetch', fields)).toContain(message);
  });

  it('allow a path in search domains only', async () => {
    const { tools } = await plane.client.beta.agents.create({
      ...basic,
      tools: [{ ...toolset, configs: [{ name: 'web_search', allowed_domains: ['example.com/docs'] }] }],
    });
    expect(tools[0]).toMatchObject({ configs: [{ allowed_domains: ['example.com/docs'] }] });
    expect(await web('web_search', { max_content_tokens: 5 })).toContain('Extra inputs are not permitted');
  });
});

describe('update', () => {
  it('makes a version, keeps the old one and finds both (check 2)', async () => {
    const { agents } = plane.client.beta;
    const first = await agents.create(basic);
    const second = await agents.update(first.id, { version: 1, system: 'x' });
    expect(second).toEqual({ ...first, version: 2, system: 'x', updated_at: second.updated_at });
    expect(second.updated_at > first.updated_at).toBe(true);
    expect(await collect(agents.versions.list(first.id))).toEqual([second, first]);
    expect(await agents.retrieve(first.id, { version: 1 })).toEqual(first);
    expect(await agents.retrieve(first.id)).toEqual(second);
    expect((await failureOf(agents.retrieve(first.id, { version: 3 }))).status).toBe(404);
    expect((await failureOf(agents.retrieve(first.id, { version: 0 }))).apiMessage).toBe(
      'version: must be greater than or equal to 1',
    );
  });

  it('refuses a stale version once, even when nothing would change (check 3)', async () => {
    const { agents } = plane.client.beta;
    const { id } = await agents.create(basic);
    await agents.update(id, { system: 'x' });
    plane.answers.length = 0;
    const failure = await failureOf(agents.update(id, { version: 1, system: 'x' }));
    expect(failure).toBeInstanceOf(ConflictError);
    expect(failure).toMatchObject({ type: 'conflict_error', apiMessage: 'Concurrent modification detected' });
    expect(plane.answers.map(({ status }) => status)).toEqual([409]);
    expect(plane.answers[0]?.headers.get('x-should-retry')).toBe('false');
    const zero = await failureOf(agents.update(id, { version: 0, system: 'y' }));
    expect(zero).toMatchObject({ status: 400, apiMessage: 'version: must be greater than or equal to 1' });
  });

  it('keeps version and time when nothing changes (check 4)', async () => {
    const { agents } = plane.client.beta;
    const made = await agents.create({
      ...basic,
      system: 's',
      metadata: { a: '1' },
      tools: [{ ...toolset, configs: [{ name: 'bash', enabled: true }] }],
    });
    expect(await agents.update(made.id, {})).toEqual(made);
    const same = await agents.update(made.id, {
      ...basic,
      version: 1,
      system: 's',
      metadata: { a: '1', b: null },
      tools: [{ ...toolset, default_config: { enabled: true }, configs: [{ name: 'bash' }] }],
    });
    expect(same).toEqual(made);
    expect(await collect(agents.versions.list(made.id))).toHaveLength(1);
  });

  it('merges metadata by key (check 5), within limits of the result', async () => {
    const { agents } = plane.client.beta;
    const { id } = await agents.create({ ...basic, metadata: { a: '1', b: '2' } });
    expect((await agents.update(id, { metadata: { a: null, c: '1' } })).metadata).toEqual({ b: '2', c: '1' });
    expect((await agents.update(id, { metadata: null })).metadata).toEqual({ b: '2', c: '1' });
    expect((await agents.update(id, { metadata: { b: '' } })).metadata).toEqual({ b: '', c: '1' });
    const many = Object.fromEntries(Array.from({ length: 15 }, (_, i) => [`k${i}`, 'v']));
    expect((await failureOf(agents.update(id, { metadata: many }))).apiMessage).toContain('no more than 16');
  });

  it('keeps what is left out, clears what is null or empty, and replaces lists whole', async () => {
    const { agents } = plane.client.beta;
    const made = await agents.create({
      ...basic,
      description: 'd',
      system: 's',
      mcp_servers: [github],
      tools: [toolset, githubTools],
      skills: [{ type: 'anthropic', skill_id: 'pdf' }],
    });
    const renamed = await agents.update(made.id, { name: 'b' });
    expect(renamed).toEqual({ ...made, name: 'b', version: 2, updated_at: renamed.updated_at });
    expect(await agents.update(made.id, { description: '', system: null })).toMatchObject({
      description: null,
      system: null,
    });
    expect(await agents.update(made.id, { mcp_servers: null, tools: [toolset] })).toMatchObject({
      mcp_servers: [],
      tools: [toolset],
    });
    expect(await agents.update(made.id, { skills: [], tools: [] })).toMatchObject({
      skills: [],
      tools: [],
      version: 5,
    });
    for (const [field, value] of [
      ['name', null],
      ['name', ''],
      ['model', null],
    ] as const) {
      const failure = await failureOf(agents.update(made.id, { [field]: value as unknown as string }));
      expect(failure).toMatchObject({ status: 400 });
      expect(failure.apiMessage).toMatch(new RegExp(`^${field}: `));
    }
  });

  it('checks the resulting agent, not only what was sent', async () => {
    const { agents } = plane.client.beta;
    const { id } = await agents.create({
      ...basic,
      mcp_servers: [github],
      tools: [toolset, githubTools],
      skills: [{ type: 'anthropic', skill_id: 'pdf' }],
    });
    expect((await failureOf(agents.update(id, { mcp_servers: [] }))).apiMessage).toBe(
      'mcp_toolset references [github] but no matching entry in mcp_servers',
    );
    expect((await failureOf(agents.update(id, { tools: [toolset] }))).apiMessage).toContain('not referenced');
    expect((await failureOf(agents.update(id, { tools: [githubTools] }))).apiMessage).toMatch(/^skills: /);
    expect((await agents.retrieve(id)).version).toBe(1);
  });

  it('keeps the effort as long as the model stays', async () => {
    const { agents } = plane.client.beta;
    const { id } = await agents.create({
      ...basic,
      model: { id: 'm', effort: 'low', speed: 'fast', inference_geo: 'us' },
    });
    expect((await agents.update(id, { model: 'm' })).model).toEqual({
      id: 'm',
      effort: { type: 'low' },
      speed: 'standard',
    });
    expect((await agents.update(id, { model: { id: 'n' } })).model).toEqual({
      id: 'n',
      effort: { type: 'high' },
      speed: 'standard',
    });
  });

  it('lets one of many racing writers win', async () => {
    const { agents } = plane.client.beta;
    const { id } = await agents.create(basic);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, (_, index) => agents.update(id, { version: 1, name: `n${index}` })),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await Promise.all(Array.from({ length: 10 }, (_, index) => agents.update(id, { name: `m${index}` })));
    const versions = await collect(agents.versions.list(id, { limit: 3 }));
    expect(versions.map(({ version }) => version)).toEqual([12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
  });
});

describe('archive', () => {
  it('hides the agent, refuses updates and may be repeated (check 7)', async () => {
    const { agents } = plane.client.beta;
    const { id } = await agents.create(basic);
    const other = await agents.create(basic);
    const archived = await agents.archive(id);
    expect(archived).toMatchObject({ version: 1 });
    expect(archived.archived_at).not.toBeNull();
    expect(await agents.archive(id)).toEqual(archived);
    expect(await agents.retrieve(id, { version: 1 })).toEqual(archived);
    expect((await collect(agents.list())).map((agent) => agent.id)).toEqual([other.id]);
    expect((await collect(agents.list({ include_archived: true }))).map((agent) => agent.id)).toEqual([
      other.id,
      id,
    ]);
    expect(await failureOf(agents.update(id, { name: 'b' }))).toMatchObject({
      status: 400,
      apiMessage: 'Cannot modify archived agent',
    });
    expect((await failureOf(agents.archive('agent_01nobody'))).status).toBe(404);
  });
});

describe('list', () => {
  it('pages newest first while agents come and go', async () => {
    const { agents } = plane.client.beta;
    const made: string[] = [];
    for (let index = 0; index < 7; index += 1)
      made.push((await agents.create({ ...basic, name: `n${index}` })).id);
    const seen: string[] = [];
    for await (const agent of agents.list({ limit: 3 })) {
      seen.push(agent.id);
      if (seen.length === 3) {
        await agents.create({ ...basic, name: 'late' });
        await agents.archive(made[6] ?? '');
      }
    }
    expect(seen).toEqual(made.toReversed());
    expect(plane.answers.every(({ text }) => !text.includes('prev_page'))).toBe(true);
  });

  it('filters by time, and refuses a cursor from outside the filter', async () => {
    const { agents } = plane.client.beta;
    const [a, b, c] = [await agents.create(basic), await agents.create(basic), await agents.create(basic)];
    const ids = async (query: Parameters<typeof agents.list>[0]) =>
      (await collect(agents.list(query))).map(({ id }) => id);
    expect(await ids({ 'created_at[gte]': b.created_at })).toEqual([c.id, b.id]);
    expect(await ids({ 'created_at[lte]': b.created_at })).toEqual([b.id, a.id]);
    expect(await ids({ 'created_at[gte]': b.created_at, 'created_at[lte]': b.created_at })).toEqual([b.id]);
    const { next_page } = await agents.list({ limit: 1 });
    expect((await agents.list({ limit: 1, page: next_page, include_archived: true })).data[0]?.id).toBe(b.id);
    expect(
      (await failureOf(agents.list({ page: next_page, 'created_at[lte]': b.created_at }))).apiMessage,
    ).toMatch(/^page: /);
    expect((await failureOf(agents.versions.list(a.id, { page: next_page }))).apiMessage).toMatch(/^page: /);
    expect((await failureOf(plane.client.beta.environments.list({ page: next_page }))).apiMessage).toMatch(
      /^page: /,
    );
  });
});
