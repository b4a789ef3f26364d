/** Budgets and compactions while the worker dies: nothing is forgotten, and nothing is spent twice unseen. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  checkSession,
  isIdle,
  isLogged,
  listAll,
  makeSession,
  modelRequests,
  say,
  script,
  turn,
  watch,
  type Watch,
} from '../support/crash-client.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../support/crash-server.ts';
import { eventually } from '../support/process.ts';

const SLOW = { chunkChars: 10, chunkDelayMs: 60 };
const SLOW_TEXT = Array.from({ length: 40 }, (_, index) => `word${index}`).join(' ');
/** About 13,000 tokens: some five cents when they are written to the cache. */
const LONG = `\n${'many words '.repeat(4800)}`;

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir, { DROVER_COMPACT_AT: '20000', DROVER_KEEP_ANSWERS: '0' });
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

const cents = (amount: number) =>
  ({ type: 'limit', max_list_cost: { amount: String(amount), currency: 'USD' } }) as const;

async function sessionWith(budget: number): Promise<{ id: string; watched: Watch }> {
  const id = await makeSession(server, [], { budget: cents(budget) });
  return { id, watched: await watch(server, id) };
}

function stopOf(watched: Watch): unknown {
  const last = watched.seen.findLast(({ frame }) => isIdle(frame))?.frame;
  return last?.type === 'session.status_idle' ? last.stop_reason : undefined;
}

async function untilAsked(mark: string, times: number): Promise<void> {
  await eventually('the model to be asked', async () => (await modelRequests(server, mark)).length >= times);
}

describe('a worker that is killed', () => {
  it('in a request that the budget allows but once: it is not made again', async () => {
    // What is left is less than what the lost attempt may have cost: its prompt, and 4,096 tokens of an answer.
    const { id, watched } = await sessionWith(9);
    const mark = `mark-${id}`;
    await say(server, id, `${mark}\n${script({ say: SLOW_TEXT, ...SLOW })}${LONG}`);
    await untilAsked(mark, 1);
    await server.kill('worker');
    await watched.until('the end', isIdle);
    expect(stopOf(watched)).toEqual({ type: 'budget_reached' });
    expect(await modelRequests(server, mark)).toHaveLength(1);
    const { usage } = await server.api.beta.sessions.retrieve(id);
    expect(Number(usage.list_cost?.amount)).toBeGreaterThanOrEqual(9);

    const from = watched.seen.length;
    await server.api.beta.sessions.update(id, { budget: null });
    await watched.until('the answer after all', isIdle, { from });
    expect(stopOf(watched)).toEqual({ type: 'end_turn' });
    const listed = await checkSession(server, id, watched);
    expect(listed.filter(({ type }) => type === 'agent.message')).toHaveLength(1);
    watched.close();
  });

  it('in a request that the budget allows again: the lost attempt is on the bill', async () => {
    const costs: number[] = [];
    for (const isKilled of [false, true]) {
      const { id, watched } = await sessionWith(500);
      const mark = `mark-${id}`;
      await say(server, id, `${mark}\n${script({ say: SLOW_TEXT, ...SLOW })}${LONG}`);
      await untilAsked(mark, 1);
      if (isKilled) await server.back(await server.kill('worker'));
      await watched.until('the end', isIdle);
      expect(stopOf(watched)).toEqual({ type: 'end_turn' });
      await checkSession(server, id, watched);
      costs.push(Number((await server.api.beta.sessions.retrieve(id)).usage.list_cost?.amount));
      watched.close();
    }
    const [undisturbed = 0, killed = 0] = costs;
    expect(killed).toBeGreaterThan(undisturbed);
  });

  it('at the cap: nothing changes for the client, and raising makes the session go on', async () => {
    const { id, watched } = await sessionWith(1);
    await turn(server, id, watched, `${script({ say: 'one' }, { stop: 'end_turn' }, { say: 'two' })}${LONG}`);
    await turn(server, id, watched, 'more');
    expect(stopOf(watched)).toEqual({ type: 'budget_reached' });
    const before = await listAll(server.api, id);
    const seen = watched.seen.length;
    await server.back(await server.kill('worker'));
    expect(await listAll(server.api, id)).toEqual(before);
    expect(watched.seen.slice(seen).filter(({ frame }) => isLogged(frame))).toEqual([]);

    await server.api.beta.sessions.update(id, { budget: cents(500) });
    await watched.until('the end', isIdle, { from: seen });
    expect(stopOf(watched)).toEqual({ type: 'end_turn' });
    const listed = await checkSession(server, id, watched);
    expect(listed.filter(({ type }) => type === 'agent.message')).toHaveLength(2);
    watched.close();
  });

  it('while the conversation is summed up: it is summed up once, and the turn goes on', async () => {
    const id = await makeSession(server, []);
    const watched = await watch(server, id);
    const mark = `mark-${id}`;
    const slow = { summary: SLOW_TEXT, ...SLOW };
    await turn(
      server,
      id,
      watched,
      `${mark}\n${script(slow, { say: 'one' }, { stop: 'end_turn' }, { say: 'two' })}${LONG}${LONG}`,
    );
    const from = watched.seen.length;
    await say(server, id, 'go on');
    await untilAsked(mark, 2);
    await server.kill('worker');
    await watched.until('the end', isIdle, { from });
    const listed = await checkSession(server, id, watched);
    expect(listed.filter(({ type }) => type === 'agent.thread_context_compacted')).toHaveLength(1);
    expect(listed.filter(({ type }) => type === 'agent.message')).toHaveLength(2);
    expect(stopOf(watched)).toEqual({ type: 'end_turn' });
    watched.close();
  });
});
