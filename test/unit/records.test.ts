import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClock } from '../../src/http/clock.ts';
import { MissingReferenceError, NameTakenError, type Records, type SessionRow } from '../../src/records.ts';
import { openDatabase, openRecords } from '../../src/records/open.ts';
import { createAgent, updateAgent } from '../../src/wire/agent.ts';
import { createEnvironment } from '../../src/wire/environment.ts';
import { createTestDatabase, DATABASE_KINDS, type TestDatabase } from '../support/database.ts';

const run = promisify(execFile);
const source = (path: string) => JSON.stringify(new URL(`../../${path}`, import.meta.url).href);
const now = createClock();
const workspaceId = 'wrkspc_1';

let database: TestDatabase;
let opened: Records[];

/** Opens the test's database once more, as another process would. */
async function open(): Promise<Records> {
  const records = await openRecords(database.place);
  opened.push(records);
  return records;
}

/** What one of several processes does; says how many names it got. */
const RACER = `
  import { openRecords } from ${source('src/records/open.ts')};
  import { createAgent, updateAgent } from ${source('src/wire/agent.ts')};
  import { createEnvironment } from ${source('src/wire/environment.ts')};
  const [place, name] = process.argv.slice(1);
  const now = new Date(0).toISOString();
  const records = await openRecords(JSON.parse(place));
  const agent = { workspaceId: 'wrkspc_1', id: 'agent_1' };
  await records.agents.insert('wrkspc_1', createAgent({ name: 'a', model: 'm' }, { id: 'agent_1', now })).catch(() => undefined);
  const count = ({ metadata }) => String(Number(metadata.count ?? 0) + 1);
  let won = 0;
  for (let i = 0; i < 20; i += 1) {
    await records.apiKeys.add(name + i, 'wrkspc_1');
    await records.agents.update(agent, (current) => updateAgent(current, { metadata: { count: count(current) } }, now));
    const environment = createEnvironment({ name: 'env' + i }, { id: name + i, now });
    await records.environments.insert('wrkspc_1', environment).then(() => (won += 1), (error) => {
      if (error.name !== 'NameTakenError') throw error;
    });
  }
  await records.close();
  console.log(won);`;

const newAgent = (id: string) => createAgent({ name: id, model: 'm' }, { id, now: now() });

const sessionRow = (id: string, more: Partial<SessionRow> = {}): SessionRow => ({
  workspaceId,
  id,
  agentId: 'agent_1',
  agentVersion: 1,
  environmentId: 'env_1',
  deploymentId: null,
  createdAt: now(),
  archivedAt: null,
  state: 'ready',
  ...more,
});

describe.each(DATABASE_KINDS)('%s', (kind) => {
  beforeEach(async () => {
    database = await createTestDatabase(kind);
    opened = [];
  });

  afterEach(async () => {
    await Promise.all(opened.map((records) => records.close()));
    await database.remove();
  });

  describe('opening', () => {
    it('makes the schema once, and keeps what is there', async () => {
      const first = await open();
      await first.apiKeys.add('hash', workspaceId);
      const second = await open();
      expect(await second.apiKeys.find('hash')).toEqual({ workspaceId });
      await second.apiKeys.add('hash', 'wrkspc_2');
      expect(await first.apiKeys.find('hash')).toEqual({ workspaceId: 'wrkspc_2' });
      expect(await first.apiKeys.find('other')).toBeUndefined();
    });

    it('refuses a database of a newer version, and leaves it alone', async () => {
      await open();
      const db = await openDatabase(database.place);
      await sql`insert into migrations (number) values (999)`.execute(db);
      await db.destroy();
      await expect(openRecords(database.place)).rejects.toThrow(/schema 999/);
    });

    it('is safe when several processes open a new one and race for the same rows', async () => {
      const starting = ['a', 'b', 'c'].map((name) =>
        run(process.execPath, ['--input-type=module', '-e', RACER, JSON.stringify(database.place), name]),
      );
      const won = (await Promise.all(starting)).map(({ stdout }) => Number(stdout));
      expect(won.reduce((sum, one) => sum + one)).toBe(20);
      const records = await open();
      for (const name of ['a0', 'a19', 'b19', 'c19'])
        expect(await records.apiKeys.find(name)).toEqual({ workspaceId });
      expect(await records.agents.get({ workspaceId, id: 'agent_1' })).toMatchObject({
        version: 61,
        metadata: { count: '60' },
      });
    });
  });

  describe('agents', () => {
    it('compare and set between processes: every change is seen by the next', async () => {
      const [one, two] = [await open(), await open()];
      const agent = newAgent('agent_1');
      await one.agents.insert(workspaceId, agent);
      const row = { workspaceId, id: agent.id };
      await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          (index % 2 === 0 ? one : two).agents.update(row, (current) =>
            updateAgent(
              current,
              { metadata: { count: String(Number(current.metadata['count'] ?? 0) + 1) } },
              now(),
            ),
          ),
        ),
      );
      expect(await one.agents.get(row)).toMatchObject({ version: 21, metadata: { count: '20' } });
      expect(
        (await two.agents.versions(row, { order: 'asc', limit: 100 }))?.rows.map(({ version }) => version),
      ).toEqual(Array.from({ length: 21 }, (_, index) => index + 1));
    });

    it('undo everything when a change throws, and go on working', async () => {
      const records = await open();
      const agent = newAgent('agent_1');
      await records.agents.insert(workspaceId, agent);
      const row = { workspaceId, id: agent.id };
      const change = () => {
        throw new Error('no');
      };
      await expect(records.agents.update(row, change)).rejects.toThrow('no');
      expect(await records.agents.get(row)).toEqual(agent);
      expect(await records.agents.update({ ...row, workspaceId: 'other' }, change)).toBeUndefined();
      expect(
        await records.agents.versions({ ...row, id: 'other' }, { order: 'desc', limit: 1 }),
      ).toBeUndefined();
    });

    it('keep concurrent statements out of a transaction that is rolled back', async () => {
      const records = await open();
      const agent = newAgent('agent_1');
      await records.agents.insert(workspaceId, agent);
      const failing = records.agents.update({ workspaceId, id: agent.id }, () => {
        throw new Error('no');
      });
      const adding = records.apiKeys.add('hash', workspaceId);
      await expect(failing).rejects.toThrow('no');
      await adding;
      expect(await records.apiKeys.find('hash')).toEqual({ workspaceId });
    });
  });

  describe('environments', () => {
    it('keep names apart', async () => {
      const records = await open();
      const make = (id: string, name: string) => createEnvironment({ name }, { id, now: now() });
      await records.environments.insert(workspaceId, make('env_1', 'a'));
      await expect(records.environments.insert(workspaceId, make('env_2', 'a'))).rejects.toThrow(
        NameTakenError,
      );
      await records.environments.insert('wrkspc_2', make('env_3', 'a'));
      await records.environments.insert(workspaceId, make('env_4', 'b'));
      const row = { workspaceId, id: 'env_4' };
      await expect(
        records.environments.update(row, (current) => ({ ...current, name: 'a' })),
      ).rejects.toThrow(NameTakenError);
      expect(await records.environments.update(row, (current) => ({ ...current, name: 'c' }))).toMatchObject({
        name: 'c',
      });
      expect(await records.environments.update(row, (current) => ({ ...current, name: 'c' }))).toMatchObject({
        name: 'c',
      });
    });

    it('give a name to one of those that ask for it at once', async () => {
      const [one, two] = [await open(), await open()];
      const make = (id: string, name: string) => createEnvironment({ name }, { id, now: now() });
      const inserted = await Promise.allSettled(
        Array.from({ length: 10 }, (_, at) =>
          (at % 2 === 0 ? one : two).environments.insert(workspaceId, make(`env_${at}`, 'a')),
        ),
      );
      await one.environments.insert(workspaceId, make('env_b', 'b'));
      await one.environments.insert(workspaceId, make('env_c', 'c'));
      const renamed = await Promise.allSettled(
        [one, two].map(({ environments }, at) =>
          environments.update({ workspaceId, id: at === 0 ? 'env_b' : 'env_c' }, (current) => ({
            ...current,
            name: 'd',
          })),
        ),
      );
      for (const all of [inserted, renamed]) {
        const refused = all.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
        expect(refused).toHaveLength(all.length - 1);
        for (const reason of refused) expect(reason).toBeInstanceOf(NameTakenError);
      }
    });

    it('go only while no session names them, also when both happen at once', async () => {
      const [one, two] = [await open(), await open()];
      await one.agents.insert(workspaceId, newAgent('agent_1'));
      for (let round = 0; round < 20; round += 1) {
        const environment = { workspaceId, id: `env_${round}` };
        await one.environments.insert(
          workspaceId,
          createEnvironment({ name: environment.id }, { id: environment.id, now: now() }),
        );
        const row = sessionRow(`sesn_${round}`, { environmentId: environment.id });
        const [inserted, deleted] = await Promise.allSettled([
          one.sessions.insert(row),
          two.environments.delete(environment),
        ]);
        const session = await one.sessions.get(row);
        if (inserted.status === 'fulfilled') {
          expect([session?.id, deleted]).toEqual([row.id, { status: 'fulfilled', value: 'in_use' }]);
        } else {
          expect(inserted.reason).toBeInstanceOf(MissingReferenceError);
          expect([session, deleted]).toEqual([undefined, { status: 'fulfilled', value: 'deleted' }]);
        }
      }
      expect(await one.environments.delete({ workspaceId, id: 'env_none' })).toBe('missing');
    });
  });

  describe('sessions', () => {
    let records: Records;

    const ids = async (
      filter: Partial<Parameters<Records['sessions']['list']>[1]> = {},
      order: 'asc' | 'desc' = 'desc',
    ) => {
      const slice = await records.sessions.list(
        workspaceId,
        { includeArchived: false, ...filter },
        { order, limit: 100 },
      );
      return slice.rows.map(({ id }) => id);
    };

    beforeEach(async () => {
      records = await open();
      await records.agents.insert(workspaceId, newAgent('agent_1'));
      await records.agents.insert(workspaceId, newAgent('agent_2'));
      await records.agents.update({ workspaceId, id: 'agent_2' }, (agent) => ({ ...agent, version: 2 }));
      await records.environments.insert(
        workspaceId,
        createEnvironment({ name: 'e' }, { id: 'env_1', now: now() }),
      );
    });

    it('come back as they were put in, to their own workspace only', async () => {
      const row = sessionRow('sesn_1', { deploymentId: 'depl_1' });
      await records.sessions.insert(row);
      expect(await records.sessions.get(row)).toEqual(row);
      expect(await records.sessions.get({ workspaceId: 'other', id: row.id })).toBeUndefined();
      expect(await records.sessions.setState({ workspaceId: 'other', id: row.id }, 'deleting')).toBe(false);
      expect(await records.sessions.delete({ workspaceId: 'other', id: row.id })).toBe(false);
      expect(await records.sessions.delete(row)).toBe(true);
      expect(await records.sessions.get(row)).toBeUndefined();
    });

    it('need an agent version and an environment of their workspace', async () => {
      const wrong: Partial<SessionRow>[] = [
        { agentId: 'agent_9' },
        { agentVersion: 9 },
        { environmentId: 'env_9' },
        { workspaceId: 'other' },
      ];
      for (const more of wrong)
        await expect(records.sessions.insert(sessionRow('sesn_1', more))).rejects.toThrow(
          MissingReferenceError,
        );
      expect(await ids()).toEqual([]);
    });

    it('are filtered and sorted', async () => {
      const rows = [
        sessionRow('sesn_a'),
        sessionRow('sesn_b', { agentId: 'agent_2' }),
        sessionRow('sesn_c', { agentId: 'agent_2', agentVersion: 2, deploymentId: 'depl_1' }),
        sessionRow('sesn_d', { archivedAt: now() }),
        sessionRow('sesn_e', { state: 'creating' }),
        sessionRow('sesn_f', { state: 'deleting' }),
      ];
      for (const row of rows) await records.sessions.insert(row);
      const at = rows[1]?.createdAt ?? '';
      expect(await ids()).toEqual(['sesn_c', 'sesn_b', 'sesn_a']);
      expect(await ids({}, 'asc')).toEqual(['sesn_a', 'sesn_b', 'sesn_c']);
      expect(await ids({ includeArchived: true })).toEqual(['sesn_d', 'sesn_c', 'sesn_b', 'sesn_a']);
      expect(await ids({ agentId: 'agent_2' })).toEqual(['sesn_c', 'sesn_b']);
      expect(await ids({ agentId: 'agent_2', agentVersion: 2 })).toEqual(['sesn_c']);
      expect(await ids({ deploymentId: 'depl_1' })).toEqual(['sesn_c']);
      expect(await ids({ createdAt: { gt: at } })).toEqual(['sesn_c']);
      expect(await ids({ createdAt: { gte: at } })).toEqual(['sesn_c', 'sesn_b']);
      expect(await ids({ createdAt: { lt: at } })).toEqual(['sesn_a']);
      expect(await ids({ createdAt: { lte: at } })).toEqual(['sesn_b', 'sesn_a']);
      expect(await ids({ states: ['ready', 'creating'] })).toEqual(['sesn_e', 'sesn_c', 'sesn_b', 'sesn_a']);
      expect(await records.sessions.countByEnvironment(workspaceId, 'env_1')).toBe(6);
      expect((await records.sessions.listByState('creating', 10)).map(({ id }) => id)).toEqual(['sesn_e']);
      expect(await records.sessions.listByState('ready', 2)).toHaveLength(2);
    });

    it('are cut into slices that lead forwards and backwards, also among equal times', async () => {
      const createdAt = now();
      const all = Array.from({ length: 7 }, (_, index) => sessionRow(`sesn_${index}`, { createdAt }));
      for (const row of all) await records.sessions.insert(row);
      const list = (order: 'asc' | 'desc', cursor?: { direction: 'next' | 'prev'; id: string }) =>
        records.sessions
          .list(
            workspaceId,
            { includeArchived: false },
            {
              order,
              limit: 3,
              cursor: cursor && { direction: cursor.direction, key: [createdAt, cursor.id] },
            },
          )
          .then(({ rows, more }) => [rows.map(({ id }) => id.slice(-1)).join(''), more]);
      expect(await list('desc')).toEqual(['654', true]);
      expect(await list('desc', { direction: 'next', id: 'sesn_4' })).toEqual(['321', true]);
      expect(await list('desc', { direction: 'next', id: 'sesn_1' })).toEqual(['0', false]);
      expect(await list('desc', { direction: 'prev', id: 'sesn_0' })).toEqual(['321', true]);
      expect(await list('desc', { direction: 'prev', id: 'sesn_3' })).toEqual(['654', false]);
      expect(await list('asc', { direction: 'next', id: 'sesn_2' })).toEqual(['345', true]);
      expect(await list('asc', { direction: 'prev', id: 'sesn_2' })).toEqual(['01', false]);
    });

    it('change state only from where they are, and keep the first time of archiving', async () => {
      const row = sessionRow('sesn_1', { state: 'creating' });
      await records.sessions.insert(row);
      expect(await records.sessions.setState(row, 'ready', 'creating')).toBe(true);
      expect(await records.sessions.setState(row, 'ready', 'creating')).toBe(false);
      expect(await records.sessions.setState(row, 'deleting')).toBe(true);
      expect(await records.sessions.setArchived(row, 'first')).toBe(true);
      expect(await records.sessions.setArchived(row, 'second')).toBe(true);
      expect(await records.sessions.get(row)).toMatchObject({ state: 'deleting', archivedAt: 'first' });
      expect(await records.sessions.setArchived({ ...row, id: 'sesn_9' }, 'x')).toBe(false);
    });
  });
});
