/** Sessions as chains of short runs: whatever becomes of single runs, clients see one session. */
import { Client } from '@temporalio/client';
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createHistoryChain } from '../../../src/engine/temporal/history-chain.ts';
import { historyPages } from '../../../src/engine/temporal/history-source.ts';
import { connectTemporal } from '../../../src/temporal-server/connection.ts';
import {
  bash,
  checkSession,
  isIdle,
  listAll,
  makeSession,
  say,
  script,
  toolResults,
  turn,
  watch,
  type Event,
  type Watch,
} from '../../support/crash-client.ts';
import { commandStarted } from '../../support/crash-hand.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../../support/crash-server.ts';
import { eventually } from '../../support/process.ts';

/** History events of a run: about two turns with a tool call. */
const RUN_EVENTS = 40;
const CUSTOM = {
  type: 'custom',
  name: 'lookup',
  description: 'Looks up.',
  input_schema: { type: 'object' },
} as const;

interface Verification {
  readonly length: number;
  readonly sealed: number;
  readonly segments: readonly { from: number; to: number; archive: string; history: string }[];
}

let dataDir: string;
let server: CrashServer;
let client: Client;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir, { DROVER_RUN_EVENTS: String(RUN_EVENTS) });
  const connection = await connectTemporal(server.temporalAddress ?? '');
  client = new Client({ connection, namespace: 'drover' });
});

afterAll(async () => {
  await client.connection.close();
  await cleanUp(dataDir, server);
});

const echo = (word: string): string => script(bash(`echo ${word} | tee -a f`), { say: 'it said {{result}}' });

async function makeTurns(id: string, watched: Watch, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) await turn(server, id, watched, echo(`turn-${index}`));
}

/** The runs of a session's chain, oldest first, as far as their histories are there. */
async function runsOf(id: string): Promise<string[]> {
  const pages = historyPages(client, id);
  const newest = await pages.head();
  const chain = createHistoryChain(pages, await pages.firstRunId());
  const runs: string[] = [];
  for (const { signal } = new AbortController(); !chain.closed;) {
    if (chain.runId !== undefined && runs.at(-1) !== chain.runId) runs.push(chain.runId);
    if (chain.runId === newest.runId) break;
    await chain.next(signal);
  }
  return runs;
}

async function verify(id: string): Promise<Verification> {
  return await server.api.get(`/v1/x/sessions/${id}/verify`);
}

/** Waits until all runs but the last one are in the archive, and checks them. */
async function allSealed(id: string, runs: number): Promise<Verification> {
  const seen = await eventually('the runs to be sealed', async () => {
    const now = await verify(id);
    return now.segments.length >= runs - 1 ? now : undefined;
  });
  expect(seen.segments.map(({ archive }) => archive)).toEqual(seen.segments.map(() => 'intact'));
  return seen;
}

async function deleteRun(id: string, runId: string): Promise<void> {
  const place = { namespace: 'drover', workflowExecution: { workflowId: id, runId } };
  await client.workflowService.deleteWorkflowExecution(place);
  await eventually('the run to be gone', async () => {
    const execution = { workflowId: id, runId };
    return await client.workflowService
      .describeWorkflowExecution({ namespace: 'drover', execution })
      .then(() => false)
      .catch(() => true);
  });
}

function rowsOf(id: string): number {
  const database = new DatabaseSync(join(dataDir, 'drover.db'), { readOnly: true });
  try {
    return ['log_heads', 'log_carriers', 'log_segments'].reduce((sum, table) => {
      const row = database.prepare(`select count(*) as count from ${table} where session_id = ?`).get(id);
      return sum + Number(row?.['count']);
    }, 0);
  } finally {
    database.close();
  }
}

describe('a session of many turns', () => {
  it('is a chain of runs: one log and one stream, and every run that is over is sealed', async () => {
    const id = await makeSession(server);
    const watched = await watch(server, id);
    await makeTurns(id, watched, 10);
    const listed = await checkSession(server, id, watched);
    expect(toolResults(listed).map(({ text }) => text)).toEqual(
      Array.from({ length: 10 }, (_, index) => `turn-${index}`),
    );
    const runs = await runsOf(id);
    expect(runs.length).toBeGreaterThan(3);
    const { length, sealed, segments } = await allSealed(id, runs.length);
    expect(segments.map(({ history }) => history)).toEqual(segments.map(() => 'same'));
    expect(segments.map(({ from }) => from)).toEqual([0, ...segments.slice(0, -1).map(({ to }) => to)]);
    expect(sealed).toBeLessThanOrEqual(length);
    watched.close();
  });

  it('reads the same when the histories of its runs are deleted', async () => {
    const id = await makeSession(server);
    const watched = await watch(server, id);
    await makeTurns(id, watched, 6);
    const before = await listAll(server.api, id);
    const runs = await runsOf(id);
    await allSealed(id, runs.length);
    for (const run of runs.slice(0, -1)) await deleteRun(id, run);
    // One that has read nothing yet.
    await server.back(await server.kill('api'));
    expect(
      await eventually('the API to answer', () => listAll(server.api, id).catch(() => undefined)),
    ).toEqual(before);
    const { segments } = await allSealed(id, runs.length);
    expect(segments.map(({ history }) => history)).toEqual(segments.map(() => 'gone'));
    const again = await watch(server, id);
    await makeTurns(id, again, 3);
    expect((await listAll(server.api, id)).slice(0, before.length)).toEqual(before);
    again.close();
    watched.close();
  });

  it('that waits for its client takes the wait along', async () => {
    const id = await makeSession(server, [CUSTOM, { type: 'agent_toolset_20260401' }]);
    const watched = await watch(server, id);
    const calls = Array.from({ length: 12 }, (_, index) => bash(`echo ${index}`));
    await turn(server, id, watched, script(...calls, { call: 'lookup' }, { say: 'told: {{result}}' }));
    const waiting = await eventually('the wait in another run', async () => (await runsOf(id)).length > 1);
    expect(waiting).toBe(true);
    const call = (await listAll(server.api, id)).find((event) => event.type === 'agent.custom_tool_use');
    const from = watched.seen.length;
    const content = [{ type: 'text', text: 'found' }] as const;
    await server.api.beta.sessions.events.send(id, {
      events: [
        { type: 'user.custom_tool_result', custom_tool_use_id: call?.id ?? '', content: [...content] },
      ],
    });
    await watched.until('the end', isIdle, { from });
    const said = (await checkSession(server, id, watched)).findLast(isMessage);
    expect(said?.content).toEqual([{ type: 'text', text: 'told: found' }]);
    watched.close();
  });

  it('goes on through deaths of its worker', async () => {
    const id = await makeSession(server);
    const watched = await watch(server, id);
    const working = makeTurns(id, watched, 12);
    working.catch(() => undefined);
    for (let kills = 0; kills < 3; kills += 1) {
      await new Promise((resolve) => void setTimeout(resolve, 700));
      await server.back(await server.kill('worker'));
    }
    await working;
    const next = await turn(server, id, watched, script(bash('wc -l < f'), { say: 'ok' }));
    expect(toolResults(next)).toEqual([{ text: '12', isError: false }]);
    await checkSession(server, id, watched);
    watched.close();
  });

  it('leaves nothing when it is deleted', async () => {
    const id = await makeSession(server);
    const watched = await watch(server, id);
    await makeTurns(id, watched, 4);
    const runs = await runsOf(id);
    expect(runs.length).toBeGreaterThan(1);
    await allSealed(id, runs.length);
    expect(rowsOf(id)).toBeGreaterThan(0);
    watched.close();
    await server.api.beta.sessions.delete(id);
    expect(rowsOf(id)).toBe(0);
    for (const runId of runs)
      await expect(client.workflow.getHandle(id, runId).describe()).rejects.toThrow(/not found/i);
  });
});

describe('a session whose workflow is terminated in Temporal', () => {
  it('goes on when a client sends something', async () => {
    const id = await makeSession(server);
    const watched = await watch(server, id);
    await makeTurns(id, watched, 3);
    const before = await listAll(server.api, id);
    await client.workflow.getHandle(id).terminate('by an operator');
    const frames = await turn(server, id, watched, echo('after'));
    expect(toolResults(frames)).toEqual([{ text: 'after', isError: false }]);
    const listed = await checkSession(server, id, watched);
    expect(listed.slice(0, before.length)).toEqual(before);
    await makeTurns(id, watched, 3);
    await checkSession(server, id, watched);
    watched.close();
  });

  it('in the middle of a tool call, goes on with that when it is woken, however often', async () => {
    const id = await makeSession(server);
    const watched = await watch(server, id);
    await say(server, id, script(bash('echo x >> f; sleep 4; wc -l < f'), { say: 'it said {{result}}' }));
    await commandStarted(dataDir, id, 'f');
    await client.workflow.getHandle(id).terminate('by an operator');
    const wake = (): Promise<unknown> => server.api.post(`/v1/x/sessions/${id}/wake`, { body: {} });
    expect(await Promise.all([wake(), wake(), wake()])).toEqual(
      Array.from({ length: 3 }, () => ({ id, type: 'session_woken' })),
    );
    await watched.until('the end of the turn', isIdle);
    await wake();
    const listed = await checkSession(server, id, watched);
    expect(toolResults(listed)).toEqual([{ text: '1', isError: false }]);
    expect(listed.filter(isMessage)).toHaveLength(1);
    watched.close();
  });

  it('goes on with what is in the archive when its histories are gone, too', async () => {
    const id = await makeSession(server);
    const watched = await watch(server, id);
    await makeTurns(id, watched, 5);
    const runs = await runsOf(id);
    const { sealed } = await allSealed(id, runs.length);
    const before = await listAll(server.api, id);
    watched.close();
    await client.workflow.getHandle(id).terminate('by an operator');
    for (const run of runs.toReversed()) await deleteRun(id, run);
    await server.api.post(`/v1/x/sessions/${id}/wake`, { body: {} });
    const watching = await watch(server, id);
    const frames = await turn(server, id, watching, echo('after'));
    expect(toolResults(frames)).toEqual([{ text: 'after', isError: false }]);
    const listed = await listAll(server.api, id);
    expect(sealed).toBeGreaterThan(0);
    expect(listed[0]).toEqual(before[0]);
    watching.close();
  });

  it('stays over when it was archived before', async () => {
    const id = await makeSession(server, []);
    const watched = await watch(server, id);
    await turn(server, id, watched, script({ say: 'hi' }));
    await server.api.beta.sessions.archive(id);
    await expect(server.api.post(`/v1/x/sessions/${id}/wake`, { body: {} })).rejects.toMatchObject({
      status: 400,
    });
    watched.close();
  });
});

function isMessage(event: Event): event is Extract<Event, { type: 'agent.message' }> {
  return event.type === 'agent.message';
}
