/** Requests that clients get wrong, beside the events in them: each is answered by its name and changes nothing. */
import { describe, expect, it } from 'vitest';
import { encodeCursor } from '../../src/http/paging.ts';
import { failureOf, collect } from '../support/control-plane.ts';
import { post, UNKNOWN, useRefusals } from '../support/refusals.ts';
import { message, script, useTestbed } from '../support/turns.ts';

const bed = useTestbed();
const { sessions } = bed.client.beta;
const { live, log, path, refused, judged } = useRefusals(bed);
const TOO_LARGE = 33 * 1024 * 1024;
const text = { type: 'text', text: 'hello' };
const said = (...content: unknown[]) => ({ type: 'user.message', content });

describe('bodies that are none', () => {
  const paths: [string, () => string][] = [
    ['sessions.create', () => '/v1/sessions'],
    ['sessions.update', () => path()],
    ['events.send', () => path('/events')],
  ];
  it.each(paths)('%s takes nothing but a JSON object of at most 32 MB', async (_, target) => {
    const isJson = JSON.stringify({ events: [message('x')] });
    const utf16 = new Uint8Array(
      Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]),
    );
    expect(await judged(await post(target(), '{"events": ['), 400)).toContain('not valid JSON');
    expect(await judged(await post(target(), ''), 400)).toContain('empty');
    expect(await judged(await post(target(), utf16), 400)).toContain('UTF-8');
    for (const other of ['null', '[]', '"text"', '7']) {
      expect(await judged(await post(target(), other), 400)).toContain('must be a JSON object');
    }
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      '',
    ]) {
      expect(await judged(await post(target(), isJson, type), 400)).toContain('content-type');
    }
    const large = JSON.stringify({ events: [message('x'.repeat(TOO_LARGE))] });
    expect(await judged(await post(target(), large), 413)).toContain(String(32 * 1024 * 1024));
  });
});

describe('a body that is too large', () => {
  it('is refused to the official client at once', async () => {
    const from = bed.calls.length;
    const error = await failureOf(
      sessions.events.send(live().id, { events: [message('x'.repeat(TOO_LARGE))] }),
    );
    expect(error).toMatchObject({ status: 413, type: 'request_too_large' });
    expect(bed.calls.slice(from)).toHaveLength(1);
    expect(await live().list()).toEqual(log());
  });
});

describe('sessions that cannot be made', () => {
  it.each<[string, object, number?]>([
    ['agent: Field required', { agent: undefined }],
    ['environment_id: Field required', { environment_id: undefined }],
    ['agent: Input does not match', { agent: 7 }],
    ['agent.type: Unknown type "robot"', { agent: { type: 'robot', id: 'x' } }],
    ['agent.id: Field required', { agent: { type: 'agent' } }],
    ['agent.mood: Extra inputs', { agent: { type: 'agent', id: 'x', mood: 'good' } }],
    ['agent.version: Input should be', { agent: { type: 'agent', id: 'x', version: '1' } }],
    ['agent.version: must be', { agent: { type: 'agent', id: 'x', version: 0 } }],
    [`agent_${UNKNOWN}`, { agent: `agent_${UNKNOWN}` }, 404],
    [`env_${UNKNOWN}`, { environment_id: `env_${UNKNOWN}` }, 404],
    ['environment_id: Input should be', { environment_id: ['env'] }],
    ['title: Input should be', { title: 7 }],
    ['title: must have no more', { title: 'x'.repeat(501) }],
    ['metadata: Input should be', { metadata: [] }],
    ['metadata.a: Input should be', { metadata: { a: 1 } }],
    ['metadata.a: must have no more', { metadata: { a: 'x'.repeat(513) } }],
    ['colour: Extra inputs', { colour: 'red' }],
    ['budget.max_list_cost: Field required', { budget: { type: 'limit' } }],
    ['budget.type: ', { budget: { type: 'soft', max_list_cost: { amount: '1', currency: 'USD' } } }],
    [
      'budget.max_list_cost.currency: ',
      { budget: { type: 'limit', max_list_cost: { amount: '1', currency: 'EUR' } } },
    ],
    [
      'budget.max_list_cost.amount: ',
      { budget: { type: 'limit', max_list_cost: { amount: 1, currency: 'USD' } } },
    ],
    ['resources: ', { resources: [{ type: 'file', file_id: 'file_1' }] }],
    ['vlt_1 not found', { vault_ids: ['vlt_1'] }, 404],
    ['initial_events: Input should be', { initial_events: {} }],
    ['initial_events: must contain no more than 50', { initial_events: Array(51).fill(said(text)) }],
    ['initial_events[1].content: must', { initial_events: [said(text), said()] }],
    ['initial_events[1].loud: Extra inputs', { initial_events: [said(text), { ...said(text), loud: true }] }],
    ['initial_events[1].type: Unknown', { initial_events: [said(text), { type: 'user.interrupt' }] }],
    ['user.define_outcome event at initial_events[0]', { initial_events: [{ type: 'user.define_outcome' }] }],
  ])('%s', async (says, wrong, status = 400) => {
    const { id } = await bed.agent();
    const body = { agent: id, environment_id: await bed.environment(), ...wrong };
    expect(await refused('/v1/sessions', body, { status })).toContain(says);
    expect(await collect(sessions.list({ agent_id: id, include_archived: true }))).toEqual([]);
  });

  it('of a version that is not there', async () => {
    const { id } = await bed.agent();
    const error = await failureOf(bed.create({ agent: { type: 'agent', id, version: 99 } }));
    expect(error).toMatchObject({ status: 404, type: 'not_found_error' });
    expect(error.message).toContain('agent.version: 99 not found');
    expect(await collect(sessions.list({ agent_id: id }))).toEqual([]);
  });
});

describe('updates that cannot be', () => {
  it.each<[string, object]>([
    ['title: Input should be', { title: 7 }],
    ['title: must have no more', { title: 'x'.repeat(501) }],
    ['metadata: Input should be', { title: 'lost', metadata: 'x' }],
    ['metadata.a: Input should be', { title: 'lost', metadata: { a: 1 } }],
    [
      'metadata: must contain no more than 16',
      { title: 'lost', metadata: Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`k${n}`, 'v'])) },
    ],
    ['colour: Extra inputs', { title: 'lost', colour: 'red' }],
    ['status: Extra inputs', { status: 'terminated' }],
    ['agent: Input should be', { title: 'lost', agent: `agent_${UNKNOWN}` }],
    ['agent.model: Extra inputs', { agent: { model: 'claude-sonnet-5' } }],
    ['`agent.system`: only `tools` and `mcp_servers` are updatable', { agent: { system: 'x' } }],
    ['`agent.skills`: only', { agent: { skills: [] } }],
    ['agent.tools: Input should be', { agent: { tools: 'bash' } }],
    ['agent.tools[0].type: Unknown type', { title: 'lost', agent: { tools: [{ type: 'nope' }] } }],
    ['vault_ids: reserved', { title: 'lost', vault_ids: [] }],
    [
      'budget: ',
      { title: 'lost', budget: { type: 'limit', max_list_cost: { amount: '1', currency: 'USD' } } },
    ],
  ])('%s', async (says, body) => {
    expect(await refused(path(), body)).toContain(says);
  });
});

describe('questions that make no sense', () => {
  const cursor = (key: readonly (string | number)[], list = `events:${live().id}`) =>
    encodeCursor({ direction: 'next', key }, { list, order: 'asc' });

  it.each<[string, string]>([
    ['limit: ', 'limit=0'],
    ['limit: ', 'limit=-1'],
    ['limit: ', 'limit=1001'],
    ['limit: Input should be a valid integer', 'limit=many'],
    ['limit: Input should be a valid integer', 'limit=1.5'],
    ['limit: ', 'limit=99999999999999999999'],
    ['order: ', 'order=up'],
    ['types[0]: ', 'types[]=agent.dream'],
    ['types[1]: ', 'types=agent.message&types=event_start'],
    ['created_at[gte]: ', 'created_at[gte]=yesterday'],
    ['created_at[lt]: ', 'created_at[lt]=2026-13-01T00:00:00Z'],
    ['page: ', 'page=garbage'],
    ['page: ', `page=${Buffer.from('{"v":1}').toString('base64url')}`],
    ['page: ', 'page=%00%ff'],
  ])('%s for %s', async (says, query) => {
    expect(await refused(path(`/events?${query}`), undefined, { method: 'GET' })).toContain(says);
  });

  it('a cursor of something else', async () => {
    const good = (await sessions.events.list(live().id, { limit: 2 })).next_page ?? '';
    const other = await bed.live();
    await other.turn(script({ say: 'elsewhere' }));
    const foreign = (await sessions.events.list(other.id, { limit: 2 })).next_page ?? '';
    const wrong = [
      foreign,
      good.slice(0, -4),
      cursor([0, 1, 9], 'sessions'),
      cursor([0]),
      cursor([0, 1]),
      cursor([0, 1, 9, 9]),
      cursor(['0', 'x', 'y']),
      cursor([2, -1, 0.5]),
    ];
    for (const page of wrong) {
      const why = await refused(path(`/events?limit=2&page=${page}`), undefined, { method: 'GET' });
      expect(why).toContain('page: not a valid cursor of this list');
    }
    const turned = await refused(path(`/events?order=desc&page=${good}`), undefined, { method: 'GET' });
    expect(turned).toContain('page: ');
    expect((await sessions.events.list(live().id, { limit: 2, page: good })).data).toEqual(log().slice(2, 4));
  });

  it.each<[string, string]>([
    ['event_deltas[0]: ', 'event_deltas[]=agent.tool_use'],
    ['event_deltas[1]: ', 'event_deltas[]=agent.message&event_deltas[]=x'],
    [
      'event_deltas: must contain no more than 100',
      Array(101).fill('event_deltas[]=agent.message').join('&'),
    ],
  ])('a stream with %s', async (says, query) => {
    expect(await refused(path(`/events/stream?${query}`), undefined, { method: 'GET' })).toContain(says);
  });

  it('an id that nobody has', async () => {
    for (const id of [`sesn_${UNKNOWN}`, 'x', '..%2F..%2Fetc', '%00', 'a'.repeat(2000)]) {
      const target = `/v1/sessions/${id}`;
      const answers = [
        await refused(target, undefined, { method: 'GET', status: 404 }),
        await refused(target, { title: 'x' }, { status: 404 }),
        await refused(`${target}/events`, { events: [message('x')] }, { status: 404 }),
        await refused(`${target}/events`, undefined, { method: 'GET', status: 404 }),
        await refused(`${target}/events/stream`, undefined, { method: 'GET', status: 404 }),
      ];
      for (const why of answers) expect(why).toMatch(/not found/i);
    }
  });
});
