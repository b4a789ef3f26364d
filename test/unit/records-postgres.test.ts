/** What Postgres alone can do wrong: sort by a language, refuse a value, be down. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type PostgresServer } from '../../scripts/postgres.ts';
import { createClock } from '../../src/http/clock.ts';
import type { Records } from '../../src/records.ts';
import { openRecords } from '../../src/records/open.ts';
import { StorageUnavailableError } from '../../src/storage-error.ts';
import { createAgent } from '../../src/wire/agent.ts';
import { createEnvironment } from '../../src/wire/environment.ts';
import { createTestPlane, failureOf } from '../support/control-plane.ts';
import { createPostgresDatabase, hasPostgres, query } from '../support/database.ts';

const now = createClock();
const workspaceId = 'wrkspc_1';
const newAgent = (id: string, createdAt = now()) =>
  createAgent({ name: id, model: 'm' }, { id, now: createdAt });

describe.runIf(hasPostgres)('a database', () => {
  const undo: (() => Promise<unknown>)[] = [];

  afterEach(async () => {
    for (const one of undo.splice(0).reverse()) await one();
  });

  async function openOn(options: string): Promise<{ url: string; records: Records }> {
    const { url, remove } = await createPostgresDatabase(options);
    undo.push(remove);
    const records = await openRecords({ kind: 'postgres', url });
    undo.push(() => records.close());
    return { url, records };
  }

  it('sorts ids and times by their bytes, whatever language it is in', async () => {
    const { url, records } = await openOn(
      "template template0 locale_provider icu icu_locale 'en-US' lc_collate 'C' lc_ctype 'C'",
    );
    // Otherwise this would show nothing.
    expect(await query(url, `select 'a' < 'B' as bad`)).toEqual([{ bad: true }]);
    const createdAt = now();
    const ids = ['agent_a', 'agent_B', 'agent_b', 'agent_A', 'agent_0'];
    for (const id of ids) await records.agents.insert(workspaceId, newAgent(id, createdAt));
    const list = (cursor?: string) =>
      records.agents
        .list(
          workspaceId,
          { includeArchived: true },
          {
            order: 'asc',
            limit: 10,
            cursor: cursor === undefined ? undefined : { direction: 'next', key: [createdAt, cursor] },
          },
        )
        .then(({ rows }) => rows.map(({ id }) => id));
    expect(await list()).toEqual(['agent_0', 'agent_A', 'agent_B', 'agent_a', 'agent_b']);
    expect(await list('agent_B')).toEqual(['agent_a', 'agent_b']);
  });

  it('is refused when it cannot hold every text', async () => {
    const { url, remove } = await createPostgresDatabase("template template0 encoding 'SQL_ASCII'");
    undo.push(remove);
    await expect(openRecords({ kind: 'postgres', url })).rejects.toThrow('encoding SQL_ASCII');
  });

  it('keeps numbers that need more than 32 bits', async () => {
    const { records } = await openOn('');
    await records.agents.insert(workspaceId, newAgent('agent_1'));
    const row = { workspaceId, id: 'agent_1' };
    const version = Number.MAX_SAFE_INTEGER;
    expect(await records.agents.get(row, version)).toBeUndefined();
    await records.agents.update(row, (agent) => ({ ...agent, version }));
    expect((await records.agents.get(row, version))?.version).toBe(version);
  });

  it('answers 400 to a value that it has no form for, and goes on', async () => {
    const { records } = await openOn('');
    const { client } = await createTestPlane({ records });
    const created = await failureOf(client.beta.environments.create({ name: 'a\0b' }));
    expect([created.status, created.type]).toEqual([400, 'invalid_request_error']);
    expect((await client.beta.environments.create({ name: 'ab' })).name).toBe('ab');
  });
});

describe.runIf(hasPostgres)('a server that goes away', () => {
  let server: PostgresServer;
  let records: Records;

  beforeAll(async () => {
    server = await startPostgres({ fsync: 'off' });
    records = await openRecords({ kind: 'postgres', url: await server.createDatabase() });
    await records.apiKeys.add('hash', workspaceId);
  });

  afterAll(async () => {
    await records.close();
    await server.stop();
  });

  it('fails what is asked of it, harms nobody, and is used again when it is back', async () => {
    const logged: unknown[] = [];
    const logger = { error: (_: string, fields: object) => logged.push(fields) };
    const { send } = await createTestPlane({ records, logger });
    await records.agents.insert(workspaceId, newAgent('agent_1'));
    const row = { workspaceId, id: 'agent_1' };
    // One connection idle, one in the middle of a transaction, when the server is killed.
    const inside = Promise.withResolvers<void>();
    await Promise.all([records.apiKeys.find('hash'), records.apiKeys.find('hash')]);
    const busy = Promise.allSettled(
      Array.from({ length: 4 }, () =>
        records.agents.update(row, (agent) => {
          inside.resolve();
          return { ...agent, version: agent.version + 1 };
        }),
      ),
    );
    await inside.promise;
    await server.kill();
    await busy;
    await expect(records.apiKeys.find('hash')).rejects.toThrow(StorageUnavailableError);
    const answer = await send('GET', '/v1/agents');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({
      error: { type: 'api_error', message: 'The server cannot reach its database at the moment.' },
    });
    expect(logged).toMatchObject([{ error: { message: expect.stringContaining('cannot be reached') } }]);

    await server.restart();
    expect(await records.apiKeys.find('hash')).toEqual({ workspaceId });
    await records.environments.insert(
      workspaceId,
      createEnvironment({ name: 'e' }, { id: 'env_1', now: now() }),
    );
    expect((await send('GET', '/v1/agents')).status).toBe(200);
  });
});
