/** Conformance checks 32 to 35: what becomes of a session that is updated, archived or deleted, and what it is made of. */
import { BadRequestError, NotFoundError } from '@anthropic-ai/sdk';
import type { BetaManagedAgentsAgentToolset20260401Params } from '@anthropic-ai/sdk/resources/beta/agents/agents';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { send, server, unique } from '../support/client.ts';
import { collect, failureOf } from '../support/control-plane.ts';
import { withProbe } from '../support/probe.ts';
import { query } from '../support/database.ts';
import { eventually } from '../support/process.ts';
import {
  BEFORE,
  message,
  modelRequests,
  only,
  script,
  textOf,
  TOOLSET,
  typesOf,
  untilIdle,
  useTestbed,
  type Live,
} from '../support/turns.ts';

const bed = useTestbed();
const { client } = bed;
const { agents, environments, sessions } = client.beta;

const ENDLESS = { say: 'word '.repeat(100), chunkChars: 5, chunkDelayMs: 500 };
const BASH_ONLY: BetaManagedAgentsAgentToolset20260401Params = {
  ...TOOLSET,
  default_config: { enabled: false },
  configs: [{ name: 'bash', enabled: true }],
};
/** More than stays inline in a log entry (src/session/pack.ts). */
const HEAVY = 'heavy '.repeat(8000);

/** Brings a session into a turn that only an interrupt ends. */
async function makeBusy(live: Live): Promise<void> {
  await live.send(message(script(...BEFORE, ENDLESS)));
  await live.next('span.model_request_start', 2);
  expect((await live.read()).status).toBe('running');
}

async function makeIdle(live: Live): Promise<void> {
  await live.interrupt();
  await live.next('session.status_idle');
  await untilIdle(client, live.id);
}

/** Fails unless the call is refused with a 400 whose message has these words. Gives the message. */
async function refusalOf(call: PromiseLike<unknown>, ...words: string[]): Promise<string> {
  const error = await failureOf(call);
  expect(error).toBeInstanceOf(BadRequestError);
  expect(error.type).toBe('invalid_request_error');
  for (const word of words) expect(error.message).toContain(word);
  return error.message;
}

/** The files that the server keeps for a session. */
async function blobsOf(id: string): Promise<string[]> {
  const { dataDir, databaseUrl } = server();
  if (databaseUrl === undefined) return await readdir(join(dataDir, 'blobs', id)).catch(() => []);
  const rows = await query<{ sha256: string }>(
    databaseUrl,
    `select sha256 from blobs where session_id = '${id}'`,
  );
  return rows.map(({ sha256 }) => sha256);
}

describe('archive', () => {
  it('check 32: a running session can be neither archived nor deleted', async () => {
    const live = await bed.live();
    await makeBusy(live);

    await refusalOf(sessions.archive(live.id), live.id, 'cannot be archived', 'running');
    await refusalOf(sessions.delete(live.id), live.id, 'cannot be deleted', 'running');
    expect(await live.read()).toMatchObject({ status: 'running', archived_at: null });
    await makeIdle(live);
    expect(only(await live.turn(script({ say: 'unharmed' })), 'agent.message').map(textOf)).toEqual([
      'unharmed',
    ]);
  });

  it('check 32: an archived session is terminated for good and stays readable', async () => {
    const live = await bed.live();
    await live.turn(script({ say: 'last words' }));
    const before = await live.list();
    const archived = await sessions.archive(live.id);
    await live.ended;

    expect(archived).toMatchObject({ id: live.id, status: 'terminated' });
    expect(archived.archived_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    const last = live.events.at(-1);
    expect(last).toMatchObject({ type: 'session.status_terminated', processed_at: expect.any(String) });
    const after = await live.list();
    expect(after.slice(0, before.length)).toEqual(before);
    expect(typesOf(after.slice(before.length))).toEqual([
      'session.thread_status_terminated',
      'session.status_terminated',
    ]);
    expect(after.at(-1)).toEqual(last);
    expect(await live.read()).toEqual(archived);

    await refusalOf(live.send(message('hello?')), live.id, 'terminated');
    await refusalOf(live.interrupt(), live.id, 'terminated');
    await refusalOf(sessions.update(live.id, { title: 'too late' }), live.id, 'archived');
    expect(await live.list()).toEqual(after);
  });

  it('archiving again changes nothing, and a stream of an archived session ends at once', async () => {
    const { id } = await bed.create();
    const archived = await sessions.archive(id);
    expect(await sessions.archive(id)).toEqual(archived);
    expect(only(await collect(sessions.events.list(id)), 'session.status_terminated')).toHaveLength(1);
    const late = await bed.watch(id);
    await late.ended;
    expect(late.events.filter(({ type }) => (type as string) !== 'ping')).toEqual([]);
  });

  it('an archived session can be deleted', async () => {
    const { id } = await bed.create();
    await sessions.archive(id);
    expect(await sessions.delete(id)).toEqual({ id, type: 'session_deleted' });
    expect(await failureOf(sessions.retrieve(id))).toBeInstanceOf(NotFoundError);
  });
});

describe('delete', () => {
  it('check 33: an open stream is told and ends, and nothing is left', async () => {
    const live = await bed.live();
    await live.turn(`${HEAVY}\n${script({ say: 'noted' })}`);
    expect(await blobsOf(live.id)).not.toEqual([]);
    const answer = await sessions.delete(live.id);
    await live.ended;

    expect(answer).toEqual({ id: live.id, type: 'session_deleted' });
    expect(live.events.at(-1)).toEqual({
      type: 'session.deleted',
      id: expect.stringMatching(/^sevt_01\w{22}$/),
      processed_at: expect.any(String),
    });
    const attempts = [
      () => live.read(),
      () => live.list(),
      () => live.send(message('hello?')),
      () => sessions.events.stream(live.id),
      () => sessions.update(live.id, { title: 'x' }),
      () => sessions.archive(live.id),
      () => sessions.delete(live.id),
    ];
    for (const attempt of attempts) {
      const error = await failureOf(attempt());
      expect(error).toBeInstanceOf(NotFoundError);
      expect(error.type).toBe('not_found_error');
    }

    expect(await blobsOf(live.id)).toEqual([]);
    expect(await withProbe(server(), (probe) => probe.isGone(live.id))).toBe(true);
  });

  it('the agent and the environment of a deleted session stay, and others are not touched', async () => {
    const [gone, other] = [await bed.create(), await bed.live()];
    await sessions.delete(gone.id);
    expect(await agents.retrieve(gone.agent.id)).toMatchObject({ archived_at: null });
    expect(await environments.retrieve(gone.environment_id)).toMatchObject({ archived_at: null });
    expect(only(await other.turn(script({ say: 'here' })), 'agent.message').map(textOf)).toEqual(['here']);
  });
});

describe('update', () => {
  it('check 34: a new title is told alone, and the same title again not at all', async () => {
    const live = await bed.live({ title: 'first', metadata: { kept: 'yes' } });
    const updated = await sessions.update(live.id, { title: 'second' });
    const event = await live.next('session.updated');

    expect(updated).toMatchObject({ title: 'second', metadata: { kept: 'yes' } });
    expect(event).toEqual({
      type: 'session.updated',
      id: expect.stringMatching(/^sevt_01\w{22}$/),
      processed_at: expect.any(String),
      title: 'second',
    });
    expect((await sessions.update(live.id, { title: 'second' })).title).toBe('second');
    expect(await live.list()).toEqual([event]);
    expect((await sessions.update(live.id, { title: null })).title).toBeNull();
    expect(only(await live.list(), 'session.updated')).toHaveLength(2);
  });

  it('check 34: metadata is merged by key, and the event has all of it', async () => {
    const live = await bed.live({ metadata: { a: '1', b: '2' } });
    const updated = await sessions.update(live.id, { metadata: { a: null, c: '3' } });
    const event = await live.next('session.updated');

    expect(updated.metadata).toEqual({ b: '2', c: '3' });
    expect(event).toMatchObject({ metadata: { b: '2', c: '3' } });
    expect(event).not.toHaveProperty('title');
    expect(event).not.toHaveProperty('agent');
    await sessions.update(live.id, { metadata: { b: '2', gone: null } });
    expect(await live.list()).toEqual([event]);
  });

  it('check 34: title and metadata can change while the session runs, tools cannot', async () => {
    const live = await bed.live();
    await makeBusy(live);
    await refusalOf(
      sessions.update(live.id, { title: 'x', agent: { tools: [BASH_ONLY] } }),
      'tools',
      'running',
    );
    expect((await live.read()).title).toBeNull();
    expect(await sessions.update(live.id, { title: 'busy', metadata: { a: '1' } })).toMatchObject({
      status: 'running',
      title: 'busy',
      metadata: { a: '1' },
    });
    await makeIdle(live);
    expect(only(await live.list(), 'session.updated')).toHaveLength(1);
  });

  it('check 34: tools of an idle session change for this session only, from the next turn on', async () => {
    const mark = unique('tools');
    const agent = await bed.agent({ system: mark });
    const live = await bed.live({ agent: agent.id });
    await live.turn(script({ say: 'one' }));
    const updated = await sessions.update(live.id, { agent: { tools: [BASH_ONLY] } });
    const event = await live.next('session.updated');

    expect(updated.agent).toMatchObject({ id: agent.id, version: 1, system: mark });
    expect(updated.agent.tools).toMatchObject([{ default_config: { enabled: false } }]);
    expect(event.agent).toEqual(updated.agent);
    expect(event).not.toHaveProperty('title');
    expect(await agents.retrieve(agent.id)).toEqual(agent);
    await live.turn(script({ say: 'two' }));
    const offered = (await modelRequests(mark)).map(({ body }) => body.tools?.map(({ name }) => name) ?? []);
    expect(offered[0]?.length).toBeGreaterThan(1);
    expect(offered[0]).toContain('bash');
    expect(offered[1]).toEqual(['bash']);

    await sessions.update(live.id, { agent: { tools: [BASH_ONLY] } });
    expect(only(await live.list(), 'session.updated')).toHaveLength(1);
  });

  it('check 34: what cannot be updated is refused, and nothing changes', async () => {
    const live = await bed.live();
    const update = (body: object) => sessions.update(live.id, body);
    const measured = (field: string) =>
      `\`agent.${field}\`: only \`tools\` and \`mcp_servers\` are updatable. To change other fields, create a new session.`;

    await refusalOf(update({ title: 'x', vault_ids: ['vlt_1'] }), 'vault_ids', 'reserved');
    await refusalOf(update({ title: 'x', agent: { system: 'other' } }), measured('system'));
    await refusalOf(update({ title: 'x', agent: { skills: [] } }), measured('skills'));
    await refusalOf(update({ title: 'x', agent: { model: 'claude-opus-5' } }), 'agent.model');
    await refusalOf(update({ title: 'x', environment_id: 'env_1' }), 'environment_id');
    const budget = await failureOf(
      update({ budget: { type: 'limit', max_list_cost: { amount: '1', currency: 'USD' } } }),
    );
    expect(budget.error).toMatchObject({ error: { details: { error_code: 'budget_create_only' } } });
    await refusalOf(update({ metadata: { [`k${'x'.repeat(64)}`]: '1' } }), 'metadata');
    expect(await live.list()).toEqual([]);
    expect((await live.read()).title).toBeNull();
  });
});

describe('the agent of a session', () => {
  it('check 35: overrides make the snapshot, and the base keeps its name', async () => {
    const base = await bed.agent({ system: 'base', description: 'described' });
    const { agent } = await bed.create({
      agent: { type: 'agent_with_overrides', id: base.id, system: null, tools: [] },
    });

    expect(agent).toMatchObject({ id: base.id, version: 1, system: null, tools: [] });
    expect(agent).toMatchObject({ name: base.name, description: 'described', model: base.model });
    expect(await agents.retrieve(base.id)).toEqual(base);
  });

  it('check 35: an overridden model and system reach the model', async () => {
    const mark = unique('override');
    const base = await bed.agent({ system: 'base' });
    const live = await bed.live({
      agent: {
        type: 'agent_with_overrides',
        id: base.id,
        version: 1,
        system: mark,
        model: 'claude-opus-4-8',
      },
    });
    expect(live.session.agent).toMatchObject({ version: 1, system: mark, model: { id: 'claude-opus-4-8' } });
    expect(live.session.agent.tools).toEqual(base.tools);
    await live.turn(script({ say: 'fine' }));
    const [request] = await modelRequests(mark);
    expect(request?.body).toMatchObject({ model: 'claude-opus-4-8' });
  });

  it('check 35: no model is refused by its own code', async () => {
    const { id } = await bed.agent();
    const agent = { type: 'agent_with_overrides', id, model: null } as never;
    const error = await failureOf(bed.create({ agent }));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error.error).toMatchObject({
      error: { type: 'invalid_request_error', details: { error_code: 'agent_model_required' } },
    });
  });

  it('overrides that do not fit together are refused', async () => {
    const { id } = await bed.agent({
      tools: [{ type: 'mcp_toolset', mcp_server_name: 'github' }],
      mcp_servers: [{ type: 'url', name: 'github', url: 'https://mcp.example.com/' }],
    });
    const agent = { type: 'agent_with_overrides', id, mcp_servers: [] } as const;
    expect(await refusalOf(bed.create({ agent: { ...agent, mcp_servers: [] } }))).toContain('github');
  });

  it('a session keeps its version when the agent moves on, and a new one gets the newest', async () => {
    const mark = unique('version');
    const { id } = await bed.agent({ system: `${mark} one` });
    const live = await bed.live({ agent: id });
    await agents.update(id, { version: 1, system: `${mark} two` });

    expect((await live.read()).agent).toMatchObject({ version: 1, system: `${mark} one` });
    await live.turn(script({ say: 'still one' }));
    const [request] = await modelRequests(mark);
    expect(JSON.stringify(request?.body)).toContain(`${mark} one`);
    expect((await bed.create({ agent: id })).agent).toMatchObject({ version: 2, system: `${mark} two` });
    const pinned = await bed.create({ agent: { type: 'agent', id, version: 1 } });
    expect(pinned.agent).toEqual(live.session.agent);
  });

  it('a pin to a version that is not there is refused in the measured words', async () => {
    const { id } = await bed.agent();
    const error = await failureOf(bed.create({ agent: { type: 'agent', id, version: 99 } }));
    expect(error).toBeInstanceOf(NotFoundError);
    expect(error.error).toMatchObject({
      error: { type: 'not_found_error', message: 'agent.version: 99 not found' },
    });
  });

  it('an agent that is archived refuses also pins and overrides', async () => {
    const { id } = await bed.agent();
    const live = await bed.live({ agent: id });
    await agents.archive(id);
    await refusalOf(bed.create({ agent: { type: 'agent', id, version: 1 } }), id, 'archived');
    await refusalOf(bed.create({ agent: { type: 'agent_with_overrides', id, system: 'x' } }), id, 'archived');
    expect((await sessions.update(live.id, { agent: { tools: [BASH_ONLY] } })).agent.tools).toHaveLength(1);
    expect(only(await live.turn(script({ say: 'going on' })), 'agent.message').map(textOf)).toEqual([
      'going on',
    ]);
  });
});

describe('what a session is made of', () => {
  it('an archived environment takes no new session, and its old ones go on', async () => {
    const environment = await environments.create({ name: unique('env') });
    const live = await bed.live({ environment_id: environment.id });
    expect((await environments.archive(environment.id)).archived_at).not.toBeNull();

    await refusalOf(bed.create({ environment_id: environment.id }), environment.id, 'archived');
    expect(only(await live.turn(script({ say: 'still here' })), 'agent.message').map(textOf)).toEqual([
      'still here',
    ]);
    await refusalOf(environments.delete(environment.id), environment.id);
    await sessions.delete(live.id);
    expect(await environments.delete(environment.id)).toEqual({
      id: environment.id,
      type: 'environment_deleted',
    });
  });

  it('an agent or environment that is not there is not found', async () => {
    const missing = [
      { agent: 'agent_01AAAAAAAAAAAAAAAAAAAAAA' },
      { environment_id: 'env_01AAAAAAAAAAAAAAAAAAAAAA' },
    ];
    for (const params of missing) {
      const error = await failureOf(bed.create(params));
      expect(error).toBeInstanceOf(NotFoundError);
      expect(error.message).toContain(Object.values(params)[0]);
    }
  });

  it('what this server cannot give is refused by name, and no session is left behind', async () => {
    const agent = await bed.agent();
    const selfHosted = await environments.create({ name: unique('env'), config: { type: 'self_hosted' } });
    const packed = await environments.create({
      name: unique('env'),
      config: { type: 'cloud', packages: { pip: ['numpy'] } },
    });
    const file = { type: 'file', file_id: 'file_01AAAAAAAAAAAAAAAAAAAAAA' };
    const unpriced = await bed.agent({ model: 'my-own-model' });
    const budget = { type: 'limit', max_list_cost: { amount: '100', currency: 'USD' } };
    const skills = [{ type: 'anthropic', skill_id: 'pptx' }];
    const refused: [body: object, status: number, words: string[]][] = [
      [{ resources: [file] }, 400, ['resources', 'not supported']],
      [{ vault_ids: ['vlt_01AAAAAAAAAAAAAAAAAAAAAA'] }, 404, ['vault_ids', 'vlt_01AAAAAAAAAAAAAAAAAAAAAA']],
      [{ agent: unpriced.id, budget }, 400, ['budget', 'my-own-model', 'no list price']],
      [{ agent: { type: 'agent_with_overrides', id: agent.id, skills } }, 400, ['skills', 'not supported']],
      [{ environment_id: selfHosted.id }, 400, [selfHosted.id, 'self-hosted']],
      [{ environment_id: packed.id }, 400, [packed.id, 'packages']],
      [{ surprise: true }, 400, ['surprise', 'Extra inputs']],
    ];
    for (const [body, status, words] of refused) {
      const error = await failureOf(bed.create({ agent: agent.id, ...body }));
      expect(error.status, words[0]).toBe(status);
      for (const word of words) expect(error.message).toContain(word);
    }
    expect(await collect(sessions.list({ agent_id: agent.id, include_archived: true }))).toEqual([]);
    expect(
      await bed.create({ agent: agent.id, resources: [], vault_ids: [], initial_events: [] }),
    ).toMatchObject({
      status: 'idle',
      resources: [],
      vault_ids: [],
      budget: null,
    });
  });

  it('events that this server cannot act on are refused by name', async () => {
    const live = await bed.live();
    const outcome = { type: 'user.define_outcome', description: 'x', rubric: { type: 'text', content: 'y' } };
    await refusalOf(
      live.send(outcome as never),
      `Invalid ${outcome.type} event at events[0]`,
      'not supported',
    );
    expect(await live.list()).toEqual([]);
  });

  it('two deletes at once: one wins, the other finds nothing or the same', async () => {
    const { id } = await bed.create();
    const answers = await Promise.all([1, 2].map(() => send('DELETE', `/v1/sessions/${id}`)));
    for (const { status } of answers) expect([200, 404]).toContain(status);
    expect(answers.some(({ status }) => status === 200)).toBe(true);
    await eventually(
      'the session to be gone',
      async () => (await send('GET', `/v1/sessions/${id}`)).status === 404,
    );
  });

  it('many deletes at once leave nothing', async () => {
    const ids = await Promise.all(
      Array.from({ length: 12 }, async (_, at) => {
        const live = await bed.live();
        if (at % 2 === 0) await live.turn(script({ say: 'hi' }));
        live.close();
        return live.id;
      }),
    );
    await Promise.all(ids.map((id) => untilIdle(client, id)));
    await Promise.all(ids.map((id) => sessions.delete(id)));
    await withProbe(server(), async (probe) => {
      for (const id of ids) expect(await probe.isGone(id)).toBe(true);
    });
  });
});
