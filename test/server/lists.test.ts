/** The list of sessions (wire-api sections 3 and 5.3): two-way paging, filters, and what happens between two pages. */
import { BadRequestError } from '@anthropic-ai/sdk';
import type { SessionListParams } from '@anthropic-ai/sdk/resources/beta/sessions/sessions';
import { beforeAll, describe, expect, it } from 'vitest';
import { unique } from '../support/client.ts';
import { collect, failureOf } from '../support/control-plane.ts';
import { BEFORE, message, script, untilIdle, useTestbed } from '../support/turns.ts';

const bed = useTestbed();
const { client } = bed;
const { agents, sessions } = client.beta;

const COUNT = 25;
/** Places (oldest is 0) of sessions that are archived: in clumps, so that filters meet pages with none and with all. */
const ARCHIVED = [2, 3, 4, 5, 6, 7, 12, 19, 20];
const ORDERS = ['asc', 'desc'] as const;

type Order = (typeof ORDERS)[number];
type Link = 'next_page' | 'prev_page';

interface Page {
  readonly ids: string[];
  readonly next_page: string | null;
  readonly prev_page: string | null;
}

let agentId: string;
/** Oldest first. */
let made: { id: string; created_at: string }[];

async function create(count: number, agent = agentId): Promise<{ id: string; created_at: string }[]> {
  const fresh: { id: string; created_at: string }[] = [];
  for (let index = 0; index < count; index += 1) fresh.push(await bed.create({ agent }));
  return fresh;
}

async function pageOf(params: SessionListParams): Promise<Page> {
  const { data, next_page, prev_page } = await sessions.list({ agent_id: agentId, ...params });
  return { ids: data.map(({ id }) => id), next_page, prev_page };
}

/** All pages that one kind of link leads to, this page included. */
async function walk(params: SessionListParams, link: Link): Promise<Page[]> {
  const pages: Page[] = [];
  for (let page: string | null | undefined = params.page; page !== null;) {
    const found = await pageOf({ ...params, ...(page === undefined ? {} : { page }) });
    pages.push(found);
    page = found[link];
    if (pages.length > 4 * COUNT) throw new Error('the pages go round in circles');
  }
  return pages;
}

function idsOf(rows: readonly { id: string }[], order: Order = 'asc'): string[] {
  const ids = rows.map(({ id }) => id);
  return order === 'asc' ? ids : ids.reverse();
}

function flat(pages: readonly Page[]): string[] {
  return pages.flatMap(({ ids }) => ids);
}

/** Walks to the end and all the way back, and checks that both ways show exactly these rows in this order. */
async function expectBothWays(params: SessionListParams, expected: readonly string[]): Promise<Page[]> {
  const there = await walk(params, 'next_page');
  expect(flat(there)).toEqual(expected);
  expect(there[0]?.prev_page).toBeNull();
  const { prev_page, ids: lastIds = [] } = there.at(-1) ?? {};
  if (there.length === 1) {
    expect(prev_page).toBeNull();
    return there;
  }
  const back = await walk({ ...params, page: prev_page ?? 'the last page has no way back' }, 'prev_page');
  expect([...flat(back.toReversed()), ...lastIds]).toEqual(expected);
  expect(back.map(({ ids }) => ids)).toEqual(
    there
      .slice(0, -1)
      .reverse()
      .map(({ ids }) => ids),
  );
  return there;
}

/** What a list that must be refused was answered. */
async function refusalOf(params: object, field: string): Promise<string> {
  const error = await failureOf(sessions.list({ agent_id: agentId, ...params }));
  expect(error).toBeInstanceOf(BadRequestError);
  expect(error.type).toBe('invalid_request_error');
  const { message } = (error.error as { error: { message: string } }).error;
  expect(message).toContain(field);
  return message;
}

beforeAll(async () => {
  agentId = (await bed.agent({ name: unique('lists') })).id;
  made = await create(COUNT);
  for (const place of ARCHIVED) await sessions.archive(made[place]?.id ?? '');
});

describe('pages of sessions', () => {
  it.each(ORDERS)('%s: 25 sessions by ten, to the end and back', async (order) => {
    const pages = await expectBothWays({ order, limit: 10, include_archived: true }, idsOf(made, order));
    expect(pages.map(({ ids }) => ids.length)).toEqual([10, 10, 5]);
  });

  it.each(ORDERS)('%s: pages that come out even end without an empty one', async (order) => {
    const pages = await expectBothWays({ order, limit: 5, include_archived: true }, idsOf(made, order));
    expect(pages).toHaveLength(5);
    expect(
      await expectBothWays({ order, limit: 25, include_archived: true }, idsOf(made, order)),
    ).toHaveLength(1);
  });

  it('newest come first unless told otherwise, and the client walks on by itself', async () => {
    const all = await collect(sessions.list({ agent_id: agentId, limit: 4, include_archived: true }));
    expect(idsOf(all)).toEqual(idsOf(made, 'desc'));
    const [newest] = all;
    expect(newest).toEqual({ ...(await sessions.retrieve(newest?.id ?? '')), stats: newest?.stats });
  });

  it('a page reached backwards leads forwards again', async () => {
    const [first, second, third] = await walk({ limit: 10, include_archived: true }, 'next_page');
    const again = await pageOf({ limit: 10, include_archived: true, page: third?.prev_page ?? '' });
    expect(again.ids).toEqual(second?.ids);
    expect((await pageOf({ limit: 10, include_archived: true, page: again.next_page ?? '' })).ids).toEqual(
      third?.ids,
    );
    const start = await pageOf({ limit: 10, include_archived: true, page: again.prev_page ?? '' });
    expect(start).toMatchObject({ ids: first?.ids, prev_page: null });
  });

  it('sessions that are made between two pages are neither lost nor doubled', async () => {
    const { id } = await bed.agent();
    const old = await create(5, id);
    const newestFirst = { agent_id: id, limit: 2, order: 'desc' } as const;
    const oldestFirst = { agent_id: id, limit: 2, order: 'asc' } as const;
    const [down, up] = [await pageOf(newestFirst), await pageOf(oldestFirst)];
    const late = await create(3, id);

    const older = await walk({ ...newestFirst, page: down.next_page ?? '' }, 'next_page');
    expect([...down.ids, ...flat(older)]).toEqual(idsOf(old, 'desc'));
    const newer = await walk({ ...newestFirst, page: older[0]?.prev_page ?? '' }, 'prev_page');
    expect(flat(newer.toReversed())).toEqual([...idsOf(late, 'desc'), ...down.ids]);
    const rest = await walk({ ...oldestFirst, page: up.next_page ?? '' }, 'next_page');
    expect([...up.ids, ...flat(rest)]).toEqual(idsOf([...old, ...late]));
  });

  it('a cursor holds when the session that it was made at is deleted, also when nothing follows any more', async () => {
    const { id } = await bed.agent();
    const [a, b, c] = idsOf(await create(3, id));
    const params = { agent_id: id, limit: 2, order: 'asc' } as const;
    const first = await pageOf(params);
    expect(first.ids).toEqual([a, b]);
    await sessions.delete(b ?? '');
    expect((await pageOf({ ...params, page: first.next_page ?? '' })).ids).toEqual([c]);
    await sessions.archive(c ?? '');
    expect(await pageOf({ ...params, page: first.next_page ?? '' })).toMatchObject({
      ids: [],
      next_page: null,
    });
    expect(await pageOf(params)).toEqual({ ids: [a], next_page: null, prev_page: null });
  });
});

describe('cursors of sessions', () => {
  it('what is no cursor of this list is refused', async () => {
    const { next_page } = await agents.list({ limit: 1, include_archived: true });
    expect(next_page).not.toBeNull();
    const { next_page: own } = await pageOf({ limit: 1 });
    for (const page of ['nonsense', '%%%', 'eyJ2IjoxfQ', next_page ?? '', `${own}`.slice(0, -4)]) {
      await refusalOf({ page }, 'page');
    }
  });

  it('a cursor keeps its order', async () => {
    const { next_page } = await pageOf({ limit: 2, order: 'asc' });
    await refusalOf({ page: next_page, limit: 2, order: 'desc' }, 'order');
    await refusalOf({ page: next_page, limit: 2 }, 'order');
    expect((await pageOf({ page: next_page, limit: 2, order: 'asc' })).ids).toHaveLength(2);
  });

  it('a cursor may meet other filters, but not times that leave it out', async () => {
    const middle = made[10]?.created_at ?? '';
    const { next_page } = await pageOf({ limit: 3, include_archived: true });
    expect((await pageOf({ page: next_page, limit: 3, agent_version: 2 })).ids).toEqual([]);
    expect(
      await pageOf({ page: next_page, limit: 100, include_archived: true, 'created_at[gte]': middle }),
    ).toMatchObject({ ids: idsOf(made.slice(10, COUNT - 3), 'desc'), next_page: null });
    await refusalOf({ page: next_page, 'created_at[lt]': middle }, 'created_at');
  });
});

describe('filters of sessions', () => {
  it('archived sessions show only when they are asked for', async () => {
    const open = made.filter((_, place) => !ARCHIVED.includes(place));
    for (const order of ORDERS) await expectBothWays({ order, limit: 7 }, idsOf(open, order));
    expect((await pageOf({ order: 'asc', limit: 20, include_archived: false })).ids).toEqual(idsOf(open));
  });

  it.each(ORDERS)('%s: by status, whatever the limit, to the end and back', async (order) => {
    const archived = made.filter((_, place) => ARCHIVED.includes(place));
    const open = made.filter((_, place) => !ARCHIVED.includes(place));
    for (const limit of [1, 2, 3, 4, 8, 9, 10]) {
      const params = { order, limit, include_archived: true };
      const over = await expectBothWays({ ...params, statuses: ['terminated'] }, idsOf(archived, order));
      expect(over).toHaveLength(Math.ceil(archived.length / limit));
      const idle = await expectBothWays({ ...params, statuses: ['idle'] }, idsOf(open, order));
      expect(idle).toHaveLength(Math.ceil(open.length / limit));
    }
    await expectBothWays(
      { order, limit: 6, include_archived: true, statuses: ['idle', 'terminated'] },
      idsOf(made, order),
    );
    await expectBothWays(
      { order, limit: 6, include_archived: true, statuses: ['running', 'rescheduling'] },
      [],
    );
    await expectBothWays({ order, limit: 6, statuses: ['terminated'] }, []);
  });

  it('a running session is listed as such, and as idle once it is', async () => {
    const { id } = await bed.agent();
    const [idle] = await create(1, id);
    const endless = { say: 'word '.repeat(100), chunkChars: 5, chunkDelayMs: 500 };
    const busy = await bed.create({
      agent: id,
      initial_events: [message(script(...BEFORE, endless))] as never,
    });
    expect((await pageOf({ agent_id: id, statuses: ['running'] })).ids).toEqual([busy.id]);
    expect((await pageOf({ agent_id: id, statuses: ['idle'] })).ids).toEqual([idle?.id]);
    expect((await pageOf({ agent_id: id, statuses: ['idle', 'running'] })).ids).toEqual([busy.id, idle?.id]);
    await sessions.events.send(busy.id, { events: [{ type: 'user.interrupt' }] });
    await untilIdle(client, busy.id);
    expect((await pageOf({ agent_id: id, statuses: ['running'] })).ids).toEqual([]);
    expect((await pageOf({ agent_id: id, statuses: ['idle'] })).ids).toEqual([busy.id, idle?.id]);
  });

  it('by time, with and without the bound itself', async () => {
    const [from, to] = [made[5]?.created_at ?? '', made[15]?.created_at ?? ''];
    const within = async (bounds: SessionListParams) =>
      (await pageOf({ limit: 100, order: 'asc', include_archived: true, ...bounds })).ids;
    expect(await within({ 'created_at[gte]': from, 'created_at[lt]': to })).toEqual(idsOf(made.slice(5, 15)));
    expect(await within({ 'created_at[gt]': from, 'created_at[lte]': to })).toEqual(idsOf(made.slice(6, 16)));
    expect(await within({ 'created_at[gte]': to })).toEqual(idsOf(made.slice(15)));
    expect(await within({ 'created_at[gt]': made.at(-1)?.created_at ?? '' })).toEqual([]);
    const elsewhere = `${new Date(Date.parse(from) + 7_200_000).toISOString().slice(0, 19)}${from.slice(19, -1)}+02:00`;
    expect(await within({ 'created_at[gte]': elsewhere })).toEqual(idsOf(made.slice(5)));
    const bounds = { 'created_at[gte]': from, 'created_at[lt]': to };
    await expectBothWays({ limit: 4, include_archived: true, ...bounds }, idsOf(made.slice(5, 15), 'desc'));
  });

  it('by agent and its version', async () => {
    const { id } = await bed.agent();
    const [first] = await create(1, id);
    await agents.update(id, { version: 1, system: 'two' });
    const [second] = await create(1, id);
    expect((await pageOf({ agent_id: id })).ids).toEqual([second?.id, first?.id]);
    expect((await pageOf({ agent_id: id, agent_version: 1 })).ids).toEqual([first?.id]);
    expect((await pageOf({ agent_id: id, agent_version: 2 })).ids).toEqual([second?.id]);
    expect((await pageOf({ agent_id: id, agent_version: 3 })).ids).toEqual([]);
    expect((await pageOf({ agent_id: 'agent_01AAAAAAAAAAAAAAAAAAAAAA' })).ids).toEqual([]);
    expect((await pageOf({ agent_id: id, deployment_id: 'depl_1' })).ids).toEqual([]);
    expect((await pageOf({ agent_id: id, memory_store_id: 'memstore_1' })).ids).toEqual([]);
  });

  it('values that make no sense are refused by name', async () => {
    const refused: [params: object, field: string][] = [
      [{ limit: 0 }, 'limit'],
      [{ limit: 101 }, 'limit'],
      [{ limit: 'many' }, 'limit'],
      [{ order: 'random' }, 'order'],
      [{ statuses: ['idle', 'asleep'] }, 'statuses'],
      [{ agent_version: 0 }, 'agent_version'],
      [{ 'created_at[gte]': 'yesterday' }, 'created_at[gte]'],
      [{ include_archived: 'perhaps' }, 'include_archived'],
    ];
    for (const [params, field] of refused)
      expect((await refusalOf(params, field)).startsWith(field)).toBe(true);
  });
});
