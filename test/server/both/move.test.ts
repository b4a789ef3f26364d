/** Sessions move between engines and back while clients use them, who see one log and no more than a pause. */
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureWorkflowBundle } from '../../../src/engine/temporal/workflow-bundle.ts';
import { workflowIdOf } from '../../../workflows/messages.ts';
import { send, server } from '../../support/client.ts';
import { failureOf } from '../../support/control-plane.ts';
import { withSessions } from '../../support/sessions.ts';
import { connectToTemporal } from '../../support/temporal/histories.ts';
import { message, only, script, textOf, untilIdle, useTestbed, type Live } from '../../support/turns.ts';

const bed = useTestbed();
const ASKING = {
  type: 'agent_toolset_20260401',
  configs: [{ name: 'bash', permission_policy: { type: 'always_ask' } }],
} as const;
type Engine = 'temporal' | 'log';

function bash(command: string) {
  return { call: 'bash', input: { command } };
}

/** Asks for a move; answers the status and what became of it. */
async function ask(id: string, to: string): Promise<{ status: number; body: unknown }> {
  const { status, body } = await send('POST', `/v1/x/sessions/${id}/move`, { to });
  return { status, body };
}

async function move(id: string, to: Engine): Promise<void> {
  expect(await ask(id, to)).toEqual({
    status: 200,
    body: { id, type: 'session_engine', engine: to, moving_to: null },
  });
}

async function engineOf(id: string): Promise<unknown> {
  return (await send('GET', `/v1/x/sessions/${id}`)).body;
}

/** Every event that is shown with its position, oldest first. */
async function slice(id: string): Promise<readonly { position: number; event: { id: string } }[]> {
  const { status, body } = await send('GET', `/v1/x/sessions/${id}/events`);
  expect(status).toBe(200);
  return (body as { data: { position: number; event: { id: string } }[] }).data;
}

/** What the stream gave so far of the log is what is in it. */
async function checkSeamless(live: Live): Promise<void> {
  const logged = live.events.filter((event) => 'id' in event && 'processed_at' in event);
  const all = (await slice(live.id)).map(({ event }) => event);
  expect(logged).toEqual(all.slice(-logged.length));
}

describe('a session that moves', () => {
  it('keeps its log, its shell, its files and what it has used', async () => {
    const live = await bed.live({}, ['agent.message']);
    const first = await live.turn(
      script(bash('mkdir -p deep && cd deep && export WORD=kept && echo one > f && pwd'), { say: 'first' }),
    );
    const before = await slice(live.id);
    const usedBefore = (await live.read()).usage.output_tokens ?? 0;

    await move(live.id, 'log');
    expect(await slice(live.id)).toEqual(before);
    expect((await live.read()).status).toBe('idle');
    const second = await live.turn(script(bash('pwd; echo $WORD; cat f; echo two >> f'), { say: 'second' }));
    const pwd = textOf(only(first, 'agent.tool_result')[0]).trim();
    expect(textOf(only(second, 'agent.tool_result')[0]).trim()).toBe(`${pwd}\nkept\none`);
    expect(only(second, 'event_delta').length).toBeGreaterThan(0);
    const middle = await slice(live.id);

    await move(live.id, 'temporal');
    expect(await slice(live.id)).toEqual(middle);
    const third = await live.turn(script(bash('pwd; echo $WORD; cat f'), { say: 'third' }));
    expect(textOf(only(third, 'agent.tool_result')[0]).trim()).toBe(`${pwd}\nkept\none\ntwo`);
    expect(only(third, 'event_delta').length).toBeGreaterThan(0);

    await move(live.id, 'log');
    await live.turn(script({ say: 'fourth' }));
    await move(live.id, 'temporal');
    await live.turn(script({ say: 'fifth' }));
    const listed = await live.list();
    expect(only(listed, 'agent.message').map(textOf)).toEqual([
      'first',
      'second',
      'third',
      'fourth',
      'fifth',
    ]);
    expect((await slice(live.id)).slice(0, before.length)).toEqual(before);
    const sum = only(listed, 'span.model_request_end').reduce(
      (total, { model_usage: { output_tokens } }) => total + output_tokens,
      0,
    );
    const { usage } = await live.read();
    expect(usage.output_tokens).toBe(sum);
    expect(sum).toBeGreaterThan(usedBefore);
    await checkSeamless(live);
  });

  it('and is not there twice: what is asked again changes nothing', async () => {
    const live = await bed.live();
    await move(live.id, 'temporal');
    const moves = await Promise.all([1, 2, 3].map(() => ask(live.id, 'log')));
    expect(moves.map(({ status }) => status)).toEqual([200, 200, 200]);
    await live.turn(script({ say: 'there' }));
    await Promise.all([1, 2, 3].map(() => move(live.id, 'temporal')));
    await live.turn(script({ say: 'and back' }));
    await checkSeamless(live);
  });

  it('waits for a confirmation wherever it is', async () => {
    const agent = await bed.agent({ tools: [structuredClone(ASKING) as never] });
    const live = await bed.live({ agent: agent.id });
    for (const [nth, to] of (['log', 'temporal'] as const).entries()) {
      const turn = await live.turn(script(bash(`echo ${to}`), { say: 'it said {{result}}' }));
      const id = only(turn, 'agent.tool_use')[0]?.id ?? '';
      await move(live.id, to);
      expect((await live.read()).status).toBe('idle');
      await live.send({ type: 'user.tool_confirmation', tool_use_id: id, result: 'allow' });
      await live.next('session.status_idle', 2 * nth + 2);
    }
    expect(only(live.events, 'agent.message').map(textOf)).toEqual(['it said log', 'it said temporal']);
    await checkSeamless(live);
  });

  it('finishes its turn first, and takes what is queued along', async () => {
    const live = await bed.live();
    for (const [nth, to] of (['log', 'temporal'] as const).entries()) {
      await live.send(message(script(bash('sleep 1; echo slow'), { say: `turn ${nth}` })));
      await live.next('agent.tool_use', nth + 1);
      const moving = ask(live.id, to);
      await live.send(message(script({ say: `queued ${nth}` })));
      expect(await moving).toMatchObject({ status: 200, body: { engine: to } });
      const before = only(live.events, 'session.status_idle').length;
      await live.until('the second turn', (events) =>
        only(events, 'agent.message').some((event) => textOf(event) === `queued ${nth}`),
      );
      await untilIdle(bed.client, live.id);
      // It left between the two turns, without a rest in between.
      expect(before).toBe(nth);
      await live.next('session.status_idle', nth + 1);
    }
    await checkSeamless(live);
  });

  it('loses nothing of a client that keeps sending', async () => {
    const live = await bed.live();
    const said: string[] = [];
    const over = new AbortController();
    const sending = (async () => {
      for (let nth = 0; !over.signal.aborted; nth += 1) {
        await live.send(message(script({ say: `answer ${nth}` })));
        said.push(`answer ${nth}`);
      }
    })();
    for (const to of ['log', 'temporal', 'log', 'temporal'] as const) await move(live.id, to);
    over.abort();
    await sending;
    await live.until('the last answer', (events) =>
      only(events, 'agent.message').some((event) => textOf(event).includes(said.at(-1) ?? '')),
    );
    await untilIdle(bed.client, live.id);
    const listed = await live.list();
    const taken = only(listed, 'user.message').map(textOf);
    expect(taken).toHaveLength(said.length);
    expect(new Set(listed.map(({ id }) => id)).size).toBe(listed.length);
    await checkSeamless(live);
  });

  it('keeps to its budget', async () => {
    const cents = (amount: string) =>
      ({ type: 'limit', max_list_cost: { amount, currency: 'USD' } }) as const;
    const live = await bed.live({ budget: cents('1') });
    // Costs more than a cent by itself.
    const dear = `\n${'many words '.repeat(15_000)}`;
    await live.turn(`${script({ say: 'one' }, { stop: 'end_turn' }, { say: 'two' })}${dear}`);
    const spent = (await live.read()).usage.list_cost;
    await move(live.id, 'log');
    expect((await live.read()).usage.list_cost).toEqual(spent);
    await live.turn('more');
    expect(only(live.events, 'session.status_idle').at(-1)?.stop_reason.type).toBe('budget_reached');

    await move(live.id, 'temporal');
    expect(await failureOf(live.send(message('more')))).toMatchObject({ status: 400 });
    await bed.client.beta.sessions.update(live.id, { budget: cents('100') });
    await live.next('session.status_idle', 3);
    expect(only(live.events, 'agent.message').map(textOf)).toEqual(['one', 'two']);
  });
});

describe('what can become of a session that moves', () => {
  it('archiving', async () => {
    for (const path of [['log'], ['log', 'temporal']] as const) {
      const live = await bed.live();
      await live.turn(script(bash('echo hi'), { say: 'hello' }));
      for (const to of path) await move(live.id, to);
      const archived = await bed.client.beta.sessions.archive(live.id);
      expect(archived.status).toBe('terminated');
      await live.ended;
      expect(await ask(live.id, 'temporal')).toMatchObject({ status: 400 });
      expect(await failureOf(live.send(message('more')))).toMatchObject({ status: 400 });
      expect((await live.list()).at(-1)?.type).toBe('session.status_terminated');
      await bed.client.beta.sessions.delete(live.id);
    }
  });

  it('deletion, of all that there is of it', async () => {
    for (const path of [['log'], ['log', 'temporal'], ['log', 'temporal', 'log']] as const) {
      const live = await bed.live();
      await live.turn(script(bash('echo hi'), { say: 'hello' }));
      for (const to of path) await move(live.id, to);
      await live.turn(script({ say: 'moved' }));
      await bed.client.beta.sessions.delete(live.id);
      expect(await failureOf(live.list())).toMatchObject({ status: 404 });
      await live.until('the news', (events) => events.some(({ type }) => type === 'session.deleted'));
      const client = await connectToTemporal();
      for (const life of [1, 2])
        await expect(client.workflow.getHandle(workflowIdOf(live.id, life)).describe()).rejects.toThrow(
          /not found/i,
        );
      await client.connection.close();
      await withSessions(server(), async (sessions) => {
        await expect(sessions.getSession(live.id)).rejects.toThrow(/no session/);
      });
    }
  });

  it('deletion while it moves', async () => {
    for (const to of ['log', 'temporal'] as const) {
      const lives = await Promise.all([1, 2, 3, 4].map(() => bed.live()));
      if (to === 'temporal') await Promise.all(lives.map(({ id }) => move(id, 'log')));
      await Promise.all(
        lives.map(async ({ id }) => {
          const moving = ask(id, to);
          await bed.client.beta.sessions.delete(id);
          expect([200, 202, 404]).toContain((await moving).status);
          expect((await send('GET', `/v1/x/sessions/${id}`)).status).toBe(404);
        }),
      );
      const client = await connectToTemporal();
      for (const { id } of lives)
        for (const life of [1, 2])
          await expect(client.workflow.getHandle(workflowIdOf(id, life)).describe()).rejects.toThrow(
            /not found/i,
          );
      await client.connection.close();
    }
  });

  it('a life after its workflow was stopped by an operator', async () => {
    const live = await bed.live();
    await live.turn(script(bash('echo before > f'), { say: 'one' }));
    const client = await connectToTemporal();
    await client.workflow.getHandle(live.id).terminate('by an operator');
    await client.connection.close();
    await move(live.id, 'log');
    const watcher = await bed.watch(live.id);
    await live.send(message(script(bash('cat f'), { say: 'it said {{result}}' })));
    await watcher.next('session.status_idle');
    expect(only(watcher.events, 'agent.message').map(textOf)).toEqual(['it said before']);
  });
});

describe('what is refused', () => {
  it('a place that is not there, a session that is not there', async () => {
    const { id } = await bed.create();
    expect(await ask(id, 'mars')).toMatchObject({ status: 400 });
    expect(await ask('sesn_none', 'log')).toMatchObject({ status: 404 });
    expect(await engineOf(id)).toEqual({
      id,
      type: 'session_engine',
      engine: 'temporal',
      moving_to: null,
    });
  });
});

describe('the workflows of a session that moves', () => {
  let folder = '';
  beforeAll(async () => {
    Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined) });
    folder = await mkdtemp(join(tmpdir(), 'drover-bundle-'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it('replay, the one that left and the one that came', async () => {
    const live = await bed.live();
    await live.turn(script(bash('echo hi'), { say: 'one' }));
    await move(live.id, 'log');
    await live.turn(script({ say: 'two' }));
    await move(live.id, 'temporal');
    await live.turn(script(bash('echo ho'), { say: 'three' }));
    const codePath = await ensureWorkflowBundle(folder);
    const client = await connectToTemporal();
    for (const life of [1, 2]) {
      const handle = client.workflow.getHandle(workflowIdOf(live.id, life));
      const history: unknown = JSON.parse(historyToJSON(await handle.fetchHistory()));
      await expect(
        Worker.runReplayHistory({ workflowBundle: { codePath } }, history),
      ).resolves.toBeUndefined();
    }
    await client.connection.close();
  });
});
