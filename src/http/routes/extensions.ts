/**
 * What this server has beyond the wire, all of it under `/v1/x` (docs/extensions.md): the log by position, the context,
 * moves between engines, waking, verification.
 */
import type { Context } from 'hono';
import { z } from 'zod';
import { toWire, type Entry } from '../../log.ts';
import { DELTA_TYPES, LISTABLE_TYPES } from '../../wire/event.ts';
import { invalidRequest, type ApiError } from '../../wire/error.ts';
import { parse } from '../../wire/parse.ts';
import { newId } from '../../id.ts';
import type { Moves, Whereabouts } from '../../session/moves.ts';
import type { Verification } from '../../session/verify.ts';
import type { App } from '../app.ts';
import { readBody } from '../body.ts';
import { intParam, limitParam, listParam, readQuery, wordParam } from '../query.ts';
import {
  createAccess,
  orApiError,
  readView,
  terminated,
  type SessionAccess,
  type SessionDeps,
} from '../session-access.ts';
import { openStream } from './session-stream.ts';

/** What the extensions are made of. */
export interface ExtensionDeps extends Omit<SessionDeps, 'settings' | 'takesSystemMessages'> {
  /** The model request that the brain makes of these entries; undefined where there is nothing to ask yet. */
  readonly contextOf: (entries: readonly Entry[]) => unknown;
  readonly moves: Moves;
  /** Checks what of a session is in the database. */
  readonly verify: (id: string) => Promise<Verification>;
}

type RouteDeps = ExtensionDeps & SessionAccess;

const LAST_EVENT_ID = 'Last-Event-ID';
/** The position of the last event that a client has; -1: none. */
const cursor = intParam(-1);
const sliceQuery = {
  from: intParam(0),
  to: intParam(0),
  types: listParam(LISTABLE_TYPES as [string, ...string[]]),
  order: wordParam(['asc', 'desc']),
  limit: limitParam(1000, 1000),
};
const streamQuery = { after: cursor, event_deltas: listParam(DELTA_TYPES) };
const streamHeaders = z.object({ [LAST_EVENT_ID]: cursor });
const contextQuery = { position: intParam(0) };
const compactBody = z.strictObject({ keep_answers: z.int().min(0).max(100).optional() });

const moveBody = z.strictObject({ to: z.enum(['temporal', 'log']) });
/** A session that has not moved by then goes on moving; nobody has to wait for it. */
const MOVED_WITHIN_MS = 20_000;

/** Adds the routes. */
export function mountExtensions(app: App, base: ExtensionDeps): void {
  const deps: RouteDeps = { ...base, ...createAccess(base.records) };
  mountSlice(app, deps);
  mountResumableStream(app, deps);
  mountContext(app, deps);
  mountCompact(app, deps);
  mountMove(app, deps);
  mountWake(app, deps);
  mountVerify(app, deps);
}

function mountSlice(app: App, { sessions, find }: RouteDeps): void {
  app.get('/v1/x/sessions/:id/events', async (c) => {
    const { id } = await find(c);
    const { from = 0, to, types = LISTABLE_TYPES, order = 'asc', limit } = readQuery(c, sliceQuery);
    if (to !== undefined && from > to) throw invalidRequest('from: must be less than or equal to `to`');
    const { length } = await readView(sessions, id);
    if (to !== undefined && to > length) throw beyond('to', length);
    // One too many tells whether something follows. Hidden events are of no type that can be listed.
    const slice = { from, to: to ?? length, types, order, limit: limit + 1 };
    const entries = await orApiError(id, sessions.getEvents(id, slice));
    const page = entries.slice(0, limit);
    const last = entries.length > limit ? page.at(-1) : undefined;
    const next = last && (order === 'asc' ? last.position + 1 : last.position);
    const data = page.map((entry) => ({ position: entry.position, event: toWire(entry) }));
    return c.json({ data, next: next ?? null, length });
  });
}

function mountResumableStream(app: App, deps: RouteDeps): void {
  app.get('/v1/x/sessions/:id/events/stream', async (c) => {
    const row = await deps.find(c);
    const query = readQuery(c, streamQuery);
    const after = query.after ?? lastEventId(c);
    if (after !== undefined) {
      const { length } = await readView(deps.sessions, row.id);
      if (after >= length) throw beyond(query.after === undefined ? LAST_EVENT_ID : 'after', length);
    }
    const isDeleted = (): Promise<boolean> => deps.isDeleted(row);
    const request = {
      sessionId: row.id,
      deltas: query.event_deltas ?? [],
      resumable: true,
      from: after === undefined ? undefined : after + 1,
    };
    return orApiError(row.id, openStream({ ...deps, isDeleted }, request));
  });
}

/** The cursor that an SSE client sends by itself when it connects again. */
function lastEventId(c: Context): number | undefined {
  const given = c.req.header(LAST_EVENT_ID);
  return parse(streamHeaders, { [LAST_EVENT_ID]: given === undefined ? undefined : [given] })[LAST_EVENT_ID];
}

function mountContext(app: App, { sessions, find, contextOf }: RouteDeps): void {
  app.get('/v1/x/sessions/:id/context', async (c) => {
    const { id } = await find(c);
    const query = readQuery(c, contextQuery);
    const { length } = await readView(sessions, id);
    const { position = length } = query;
    if (position > length) throw beyond('position', length);
    const entries = await orApiError(id, sessions.getEvents(id, { to: position }));
    return c.json({ position, request: contextOf(entries) ?? null });
  });
}

function mountCompact(app: App, { sessions, find }: RouteDeps): void {
  app.post('/v1/x/sessions/:id/compact', async (c) => {
    const { id } = await find(c);
    const { keep_answers } = await readBody(c, compactBody);
    if ((await readView(sessions, id)).terminatedAt !== null) throw terminated(id);
    const settings = keep_answers === undefined ? {} : { keep_answers };
    const event = { id: newId('sevt'), type: 'x.compaction_requested' as const, ...settings };
    await orApiError(id, sessions.emitEvent(id, [{ event }]));
    return c.json({ id: event.id, type: 'compaction_requested' });
  });
}

function mountMove(app: App, { sessions, moves, find }: RouteDeps): void {
  const show = (id: string, { engine, movingTo }: Whereabouts) => ({
    id,
    type: 'session_engine' as const,
    engine,
    moving_to: movingTo ?? null,
  });

  app.get('/v1/x/sessions/:id', async (c) => {
    const { id } = await find(c);
    return c.json(show(id, await orApiError(id, moves.where(id))));
  });

  app.post('/v1/x/sessions/:id/move', async (c) => {
    const { id } = await find(c);
    const { to } = await readBody(c, moveBody);
    if ((await readView(sessions, id)).terminatedAt !== null) throw terminated(id);
    await orApiError(id, moves.begin(id, to));
    const now = await orApiError(id, moves.carryFor(id, MOVED_WITHIN_MS));
    return c.json(show(id, now), now.movingTo === undefined ? 200 : 202);
  });
}

function mountWake(app: App, { sessions, find }: RouteDeps): void {
  app.post('/v1/x/sessions/:id/wake', async (c) => {
    const { id } = await find(c);
    await orApiError(id, sessions.wake(id));
    return c.json({ id, type: 'session_woken' as const });
  });
}

function mountVerify(app: App, { find, verify }: RouteDeps): void {
  app.get('/v1/x/sessions/:id/verify', async (c) => {
    const { id } = await find(c);
    const { length, segments, damage } = await orApiError(id, verify(id));
    return c.json({
      id,
      type: 'session_verification' as const,
      length,
      sealed: segments.at(-1)?.to ?? 0,
      segments: segments.map(({ number, from, to, life, runId, sha256, archive, history }) => {
        return { number, from, to, life, run_id: runId ?? null, sha256, archive, history };
      }),
      damage: damage ? { ...damage, segment: damage.segment ?? null } : null,
    });
  });
}

/** 400 for a position that the log does not have. */
function beyond(name: string, length: number): ApiError {
  return invalidRequest(`${name}: is beyond the end of the log, which has ${length} entries`);
}
