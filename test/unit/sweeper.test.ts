import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Records, SessionRow } from '../../src/records.ts';
import { SessionGoneError, type Sessions } from '../../src/session.ts';
import { startSweeper, sweep } from '../../src/sweeper.ts';
import { eventually } from '../support/eventually.ts';

const NOW_MS = Date.parse('2026-11-23T12:00:00Z');
const LONG_AGO = '2026-11-23T11:58:59.000000Z';
const JUST_NOW = '2026-11-23T11:59:30.000000Z';

function row(id: string, state: SessionRow['state'], createdAt = LONG_AGO): SessionRow {
  return {
    workspaceId: 'w',
    id,
    agentId: 'agent_1',
    agentVersion: 1,
    environmentId: 'env_1',
    deploymentId: null,
    createdAt,
    archivedAt: null,
    state,
  };
}

/** Rows and logs in memory. `logs`: the sessions that have one; `broken`: those that cannot be reached. */
function world({ rows, logs = [], broken = [] }: { rows: SessionRow[]; logs?: string[]; broken?: string[] }) {
  const table = new Map(rows.map((one) => [one.id, one]));
  const have = new Set(logs);
  const warnings: string[] = [];
  const reach = (id: string): void => {
    if (broken.includes(id)) throw new Error('cannot be reached');
  };
  const records = {
    sessions: {
      listByState: async (state: string, limit: number) =>
        [...table.values()].filter((one) => one.state === state).slice(0, limit),
      setState: async ({ id }: SessionRow, state: SessionRow['state'], from?: string) => {
        const found = table.get(id);
        if (!found || (from !== undefined && found.state !== from)) return false;
        table.set(id, { ...found, state });
        return true;
      },
      delete: async ({ id }: SessionRow) => table.delete(id),
    },
  } as unknown as Records;
  const sessions = {
    async getSession(id: string) {
      reach(id);
      if (!have.has(id)) throw new SessionGoneError(id);
      return {};
    },
    async remove(id: string) {
      reach(id);
      have.delete(id);
    },
  } as unknown as Sessions;
  const log = {
    info: () => undefined,
    warn: (message: string) => void warnings.push(message),
    error: () => undefined,
  };
  const states = () => Object.fromEntries([...table.values()].map(({ id, state }) => [id, state]));
  return { deps: { records, sessions, log }, states, have, warnings };
}

describe('a session that was being created', () => {
  test('is shown when it has a log, and forgotten when it has none', async () => {
    const { deps, states } = world({ rows: [row('a', 'creating'), row('b', 'creating')], logs: ['a'] });
    await sweep(deps, NOW_MS);
    expect(states()).toEqual({ a: 'ready' });
  });

  test('is left alone while its request may still be served', async () => {
    const rows = [row('a', 'creating', JUST_NOW), row('b', 'creating', JUST_NOW)];
    const { deps, states } = world({ rows, logs: ['a'] });
    await sweep(deps, NOW_MS);
    expect(states()).toEqual({ a: 'creating', b: 'creating' });
    await sweep(deps, NOW_MS + 31_000);
    expect(states()).toEqual({ a: 'ready' });
  });
});

describe('a session that was being deleted', () => {
  test('is erased, its log first', async () => {
    const { deps, states, have } = world({
      rows: [row('a', 'deleting'), row('b', 'ready')],
      logs: ['a', 'b'],
    });
    await sweep(deps, NOW_MS);
    expect(states()).toEqual({ b: 'ready' });
    expect([...have]).toEqual(['b']);
  });
});

test('what cannot be reached is kept, and does not hold up the others', async () => {
  const rows = [row('a', 'creating'), row('b', 'creating'), row('c', 'deleting'), row('d', 'deleting')];
  const { deps, states, warnings } = world({ rows, logs: ['a', 'b', 'c', 'd'], broken: ['a', 'c'] });
  await sweep(deps, NOW_MS);
  expect(states()).toEqual({ a: 'creating', b: 'ready', c: 'deleting' });
  expect(warnings).toHaveLength(2);
});

describe('the sweeper', () => {
  afterEach(() => void vi.useRealTimers());

  test('sweeps at once, again and again, also after a failure, until it is stopped', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const { deps, warnings } = world({ rows: [] });
    let sweeps = 0;
    const list = deps.records.sessions.listByState;
    deps.records.sessions.listByState = async (state, limit) => {
      if (state === 'creating') sweeps += 1;
      if (sweeps === 1) throw new Error('the database is busy');
      return list(state, limit);
    };
    let carried = 0;
    const moves = { carryAll: async () => void (carried += 1) };
    const sweeper = startSweeper({ ...deps, moves });
    await eventually(() => expect(warnings).toHaveLength(1));
    vi.advanceTimersToNextTimer();
    vi.advanceTimersToNextTimer();
    expect(sweeps).toBe(3);
    expect(carried).toBe(3);
    sweeper.stop();
    expect(vi.getTimerCount()).toBe(0);
  });
});
