import { ConflictError, type Anthropic } from '@anthropic-ai/sdk';
import { beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_WORKSPACE_ID } from '../../src/records.ts';
import { collect, createTestPlane, failureOf, type TestPlane } from '../support/control-plane.ts';

let plane: TestPlane;
let environments: Anthropic['beta']['environments'];

beforeEach(async () => {
  plane = await createTestPlane();
  environments = plane.client.beta.environments;
});

const noPackages = { type: 'packages', apt: [], cargo: [], gem: [], go: [], npm: [], pip: [] };

describe('create', () => {
  it('is cloud, open and bare by default', async () => {
    const made = await environments.create({ name: 'e' });
    expect(made).toEqual({
      id: made.id,
      type: 'environment',
      name: 'e',
      description: null,
      config: { type: 'cloud', networking: { type: 'unrestricted' }, packages: noPackages },
      metadata: {},
      scope: 'organization',
      created_at: made.created_at,
      updated_at: made.created_at,
      archived_at: null,
    });
    expect(made.id).toMatch(/^env_01/);
    expect(await environments.retrieve(made.id)).toEqual(made);
  });

  it('fills in limited networking and packages', async () => {
    const { config } = await environments.create({
      name: 'e',
      config: {
        type: 'cloud',
        networking: { type: 'limited', allowed_hosts: ['*.example.com'], allow_package_managers: true },
        packages: { pip: ['pandas>=2', 'numpy == 1.0'], npm: ['@scope/x@1'] },
      },
    });
    expect(config).toEqual({
      type: 'cloud',
      networking: {
        type: 'limited',
        allowed_hosts: ['*.example.com'],
        allow_mcp_servers: false,
        allow_package_managers: true,
      },
      packages: { ...noPackages, pip: ['pandas>=2', 'numpy == 1.0'], npm: ['@scope/x@1'] },
    });
    expect((await environments.create({ name: 's', config: { type: 'self_hosted' } })).config).toEqual({
      type: 'self_hosted',
    });
  });

  it.each<[object, string]>([
    [{ name: undefined }, 'name: Field required'],
    [{ name: '' }, 'name: '],
    [{ config: { type: 'orbital' } }, 'config.type: Unknown type "orbital"'],
    [
      { config: { type: 'cloud', networking: { type: 'limited', allowed_hosts: ['https://x'] } } },
      'config.networking.allowed_hosts[0]: must be a host name',
    ],
    [{ config: { type: 'self_hosted', packages: {} } }, 'config.packages: Extra inputs are not permitted'],
    [
      { config: { type: 'cloud', packages: { pip: 'pandas' } } },
      'config.packages.pip: Input should be a valid list',
    ],
    [
      { config: { type: 'cloud', packages: { apt: ['--allow-unauthenticated'] } } },
      'config.packages.apt[0]: must be a package name',
    ],
    [
      { config: { type: 'cloud', packages: { apt: ['a\nb'] } } },
      'config.packages.apt[0]: must be a package name',
    ],
    [
      { config: { type: 'cloud', networking: { type: 'limited' }, packages: { pip: ['x'] } } },
      'config.packages: with limited networking',
    ],
    [{ scope: 'account' }, 'scope: '],
    [{ colour: 'red' }, 'colour: Extra inputs are not permitted'],
  ])('refuses %j', async (params, message) => {
    const failure = await failureOf(environments.create({ name: 'e', ...params }));
    expect(failure).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(failure.apiMessage?.slice(0, message.length)).toBe(message);
  });

  it('names the error of wrong metadata', async () => {
    const failure = await failureOf(environments.create({ name: 'e', metadata: { a: 'x'.repeat(513) } }));
    expect(failure).toMatchObject({ status: 400, errorCode: 'invalid_metadata' });
  });

  it('takes a name once in a workspace, with one call', async () => {
    await environments.create({ name: 'e' });
    plane.answers.length = 0;
    const failure = await failureOf(environments.create({ name: 'e' }));
    expect(failure).toBeInstanceOf(ConflictError);
    expect(failure.type).toBe('conflict_error');
    expect(plane.answers).toHaveLength(1);
    const racing = await Promise.allSettled(
      Array.from({ length: 5 }, () => environments.create({ name: 'f' })),
    );
    expect(racing.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });
});

describe('update', () => {
  it('changes what is sent, in place', async () => {
    const made = await environments.create({
      name: 'e',
      description: 'd',
      config: {
        type: 'cloud',
        networking: { type: 'limited', allowed_hosts: ['a.example'], allow_package_managers: true },
        packages: { pip: ['pandas'], apt: ['jq'] },
      },
    });
    const { config } = await environments.update(made.id, {
      config: {
        type: 'cloud',
        networking: { type: 'limited', allow_mcp_servers: true },
        packages: { apt: [] },
      },
    });
    expect(config).toEqual({
      type: 'cloud',
      networking: {
        type: 'limited',
        allowed_hosts: ['a.example'],
        allow_mcp_servers: true,
        allow_package_managers: true,
      },
      packages: { ...noPackages, pip: ['pandas'] },
    });
    const failure = await failureOf(
      environments.update(made.id, {
        config: { type: 'cloud', networking: { type: 'limited', allow_package_managers: false } },
      }),
    );
    expect(failure.apiMessage).toMatch(/^config.packages: /);
    expect(await environments.update(made.id, { description: '' })).toMatchObject({
      description: '',
      name: 'e',
    });
    expect(await environments.update(made.id, { description: null, name: null, config: null })).toMatchObject(
      { description: null, name: 'e', config },
    );
  });

  it('deletes metadata by null and by an empty text', async () => {
    const { id } = await environments.create({ name: 'e', metadata: { a: '1', b: '2', c: '3' } });
    expect((await environments.update(id, { metadata: { a: null, b: '', d: '4' } })).metadata).toEqual({
      c: '3',
      d: '4',
    });
  });

  it('moves updated_at only when something changes', async () => {
    const made = await environments.create({ name: 'e', metadata: { a: '1' } });
    expect(
      await environments.update(made.id, { name: 'e', metadata: { a: '1' }, config: { type: 'cloud' } }),
    ).toEqual(made);
    expect((await environments.update(made.id, { name: 'f' })).updated_at > made.updated_at).toBe(true);
  });

  it('refuses another type, a taken name and an archived environment by their codes', async () => {
    const { id } = await environments.create({ name: 'e' });
    await environments.create({ name: 'f' });
    expect(await failureOf(environments.update(id, { config: { type: 'self_hosted' } }))).toMatchObject({
      status: 400,
      errorCode: 'invalid_config_type_change',
    });
    expect((await failureOf(environments.update(id, { name: 'f' }))).status).toBe(409);
    await environments.archive(id);
    expect(await failureOf(environments.update(id, { name: 'g' }))).toMatchObject({
      status: 400,
      errorCode: 'environment_archived',
    });
    expect((await failureOf(environments.update('env_01nobody', { name: 'g' }))).status).toBe(404);
  });
});

describe('archive, list and delete', () => {
  it('hides archived environments unless asked, and archives quietly again', async () => {
    const made = [];
    for (const name of ['a', 'b', 'c', 'd', 'e']) made.push((await environments.create({ name })).id);
    const archived = await environments.archive(made[2] ?? '');
    expect(await environments.archive(archived.id)).toEqual(archived);
    const newestFirst = made.toReversed();
    expect(
      (await collect(environments.list({ limit: 2, include_archived: true }))).map(({ id }) => id),
    ).toEqual(newestFirst);
    expect((await collect(environments.list({ limit: 2 }))).map(({ id }) => id)).toEqual(
      newestFirst.filter((id) => id !== archived.id),
    );
  });

  it('deletes one that no session uses, archived or not', async () => {
    const { id } = await environments.create({ name: 'e' });
    await environments.archive(id);
    expect(await environments.delete(id)).toEqual({ id, type: 'environment_deleted' });
    expect((await failureOf(environments.retrieve(id))).status).toBe(404);
    expect((await failureOf(environments.delete(id))).status).toBe(404);
    await environments.create({ name: 'e' });
  });

  it('keeps one that a session uses', async () => {
    const agent = await plane.client.beta.agents.create({ name: 'a', model: 'm' });
    const { id } = await environments.create({ name: 'e' });
    const session = { workspaceId: DEFAULT_WORKSPACE_ID, id: 'sesn_01x' };
    await plane.records.sessions.insert({
      ...session,
      agentId: agent.id,
      agentVersion: 1,
      environmentId: id,
      deploymentId: null,
      createdAt: agent.created_at,
      archivedAt: agent.created_at,
      state: 'ready',
    });
    expect(await failureOf(environments.delete(id))).toMatchObject({
      status: 400,
      type: 'invalid_request_error',
    });
    await plane.records.sessions.delete(session);
    await environments.delete(id);
  });
});
