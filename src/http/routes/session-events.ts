/** Session events over HTTP (wire-api sections 5.3, 11 and 12): send, list, stream. */
import { checkEvents, namedCalls, type KnownCall } from '../../event-rules.ts';
import { toWire, type Draft } from '../../log.ts';
import { MOST_QUEUED, type ListKey, type Sessions, type SessionView } from '../../session.ts';
import { DELTA_TYPES, LISTABLE_TYPES } from '../../wire/event.ts';
import type { EventParams } from '../../wire/event-params.ts';
import { invalidRequest } from '../../wire/error.ts';
import type { Cursor, Key } from '../../wire/page.ts';
import { z } from 'zod';
import type { App } from '../app.ts';
import { readBody } from '../body.ts';
import { decodeCursor, encodeCursor } from '../paging.ts';
import { limitParam, listParam, readQuery, textParam, timeParam, wordParam } from '../query.ts';
import { orApiError, readView, terminated, type SessionRouteDeps } from '../session-access.ts';
import { parseEvents, toDrafts } from '../session-input.ts';
import { openStream } from './session-stream.ts';

const sendBody = z.strictObject({ events: z.array(z.unknown()).min(1).max(MOST_QUEUED) });
const listQuery = {
  order: wordParam(['asc', 'desc']),
  types: listParam(LISTABLE_TYPES as [string, ...string[]]),
  'created_at[gt]': timeParam(),
  'created_at[gte]': timeParam(),
  'created_at[lt]': timeParam(),
  'created_at[lte]': timeParam(),
  limit: limitParam(1000, 1000),
  page: textParam(),
};
const listKey = z.tuple([z.literal([0, 1]), z.int().min(0), z.int().min(0)]);
const streamQuery = { event_deltas: listParam(DELTA_TYPES) };

/** Adds the routes. */
export function mountSessionEvents(app: App, deps: SessionRouteDeps): void {
  const { sessions } = deps;

  app.post('/v1/sessions/:id/events', async (c) => {
    const { id } = await deps.find(c);
    const events = parseEvents((await readBody(c, sendBody)).events, 'events');
    const view = await readView(sessions, id, 'live');
    if (view.terminatedAt !== null) throw terminated(id);
    checkEvents(events, view.loop, await knownCalls(sessions, id, { events, view }));
    checkSystemSupport(events, view, deps.takesSystemMessages);
    const drafts = toDrafts(events);
    // At the cap an interrupt has no effect and is not recorded (wire-api 27.3).
    const recorded = drafts.filter((draft) => view.loop.phase.at !== 'capped' || !isInterrupt(draft));
    const entries = recorded.length === 0 ? [] : await orApiError(id, sessions.emitEvent(id, recorded));
    const data = drafts.flatMap((draft) => {
      if (!('event' in draft)) return [];
      const entry = entries.find(({ event }) => event.id === draft.event.id);
      return [entry ? toWire(entry) : { ...draft.event, processed_at: deps.now() }];
    });
    return c.json({ data });
  });

  app.get('/v1/sessions/:id/events', async (c) => {
    const { id } = await deps.find(c);
    const query = readQuery(c, listQuery);
    const identity = { list: `events:${id}`, order: query.order ?? ('asc' as const) };
    const wanted = {
      order: identity.order,
      limit: query.limit,
      types: query.types,
      createdAt: {
        gt: query['created_at[gt]'],
        gte: query['created_at[gte]'],
        lt: query['created_at[lt]'],
        lte: query['created_at[lte]'],
      },
      after: query.page === undefined ? undefined : toListKey(decodeCursor(query.page, identity)),
    };
    const page = await orApiError(id, sessions.listEvents(id, wanted));
    const next = page.next && encodeCursor({ direction: 'next', key: fromListKey(page.next) }, identity);
    return c.json({ data: page.entries.map(toWire), next_page: next ?? null });
  });

  app.get('/v1/sessions/:id/events/stream', async (c) => {
    const row = await deps.find(c);
    const { event_deltas: deltas = [] } = readQuery(c, streamQuery);
    const isDeleted = (): Promise<boolean> => deps.isDeleted(row);
    return orApiError(row.id, openStream({ ...deps, isDeleted }, { sessionId: row.id, deltas }));
  });
}

function isInterrupt(draft: Draft): boolean {
  return 'event' in draft && draft.event.type === 'user.interrupt';
}

function checkSystemSupport(
  events: readonly EventParams[],
  { loop }: SessionView,
  takesSystemMessages: (model: string) => boolean,
): void {
  const index = events.findIndex(({ type }) => type === 'system.message');
  if (index === -1 || takesSystemMessages(loop.model)) return;
  throw invalidRequest(
    `Invalid system.message event at events[${index}]: model ${loop.model} does not take system messages in the ` +
      'middle of a conversation',
    { errorCode: 'model_does_not_support_mid_conversation_system' },
  );
}

/** Calls that the batch names: open ones are in the loop's memory, older ones are looked up in the log. */
async function knownCalls(
  sessions: Sessions,
  id: string,
  { events, view }: { events: readonly EventParams[]; view: SessionView },
): Promise<readonly KnownCall[]> {
  const { calls } = view.loop;
  if (namedCalls(events).every((name) => calls.some((call) => call.id === name))) return calls;
  const uses = await sessions.getEvents(id, { types: ['agent.tool_use', 'agent.custom_tool_use'] });
  return uses.flatMap(({ event }): KnownCall[] => {
    if (event.type === 'agent.tool_use')
      return [{ id: event.id, runner: 'hand', permission: event.evaluated_permission }];
    return event.type === 'agent.custom_tool_use'
      ? [{ id: event.id, runner: 'client', permission: 'allow' }]
      : [];
  });
}

function fromListKey({ queued, position, length }: ListKey): Key {
  return [Number(queued), position, length];
}

/** A cursor that this list never gave out would else be taken for one behind the end. */
function toListKey({ direction, key }: Cursor): ListKey {
  const parsed = listKey.safeParse(key);
  if (!parsed.success || direction !== 'next') throw invalidRequest('page: not a valid cursor of this list');
  const [queued, position, length] = parsed.data;
  return { queued: queued === 1, position, length };
}
