/** What all routes of a session share: finding it, reading it, and what the port's errors mean on the wire. */
import type { Context } from 'hono';
import type { PreviewReceiver } from '../previews.ts';
import type { Records, SessionRow } from '../records.ts';
import {
  BatchTooLargeError,
  DamagedLogError,
  SessionBusyError,
  SessionGoneError,
  SessionStoppedError,
  SessionTerminatedError,
  type Sessions,
  type SessionView,
} from '../session.ts';
import { MoveRefusedError, MoveUnderWayError } from '../session/moves.ts';
import { ApiError, conflict, invalidRequest, notFound, rateLimited, tooLarge } from '../wire/error.ts';
import type { AppEnv } from './app.ts';
import type { Clock } from './clock.ts';
import type { SessionSettings } from './routes/session-create.ts';

/** Trying again cures nothing. */
const FINAL = { headers: { 'x-should-retry': 'false' } } as const;

/** What the session routes are made of. */
export interface SessionDeps {
  readonly records: Records;
  readonly sessions: Sessions;
  readonly previews: PreviewReceiver;
  readonly now: Clock;
  readonly settings: SessionSettings;
  /** Whether a model takes system messages in the middle of a conversation. */
  readonly takesSystemMessages: (model: string) => boolean;
}

/** How a route finds its session. */
export interface SessionAccess {
  /** The row that the path names; 404 when it is not there for this workspace. */
  readonly find: (c: Context<AppEnv>) => Promise<SessionRow>;
  /** Whether a session that was found has been deleted since, or is being deleted. */
  readonly isDeleted: (row: Pick<SessionRow, 'workspaceId' | 'id'>) => Promise<boolean>;
}

/** What the routes below a session are made of. */
export interface SessionRouteDeps extends SessionDeps, SessionAccess {}

/** Makes the access; rows that are being created or deleted do not exist for clients. */
export function createAccess(records: Records): SessionAccess {
  const isDeleted: SessionAccess['isDeleted'] = async ({ workspaceId, id }) =>
    (await records.sessions.get({ workspaceId, id }))?.state !== 'ready';
  const find = async (c: Context<AppEnv>): Promise<SessionRow> => {
    const id = c.req.param('id') ?? '';
    const row = await records.sessions.get({ workspaceId: c.get('workspaceId'), id });
    if (row?.state !== 'ready') throw sessionNotFound(id);
    return row;
  };
  return { find, isDeleted };
}

/** 404 for a session. */
function sessionNotFound(id: string): ApiError {
  return notFound(`Session \`${id}\` not found.`);
}

/** The session's view, or 404. */
export async function readView(
  sessions: Sessions,
  id: string,
  freshness: 'now' | 'live' = 'now',
): Promise<SessionView> {
  return orApiError(id, sessions.getSession(id, freshness));
}

/** What the port answers about a session, or what its error means on the wire. */
export async function orApiError<T>(id: string, answer: Promise<T>): Promise<T> {
  return answer.catch((error: unknown) => {
    throw toApiError(error, id);
  });
}

function toApiError(error: unknown, id: string): unknown {
  if (error instanceof SessionGoneError) return sessionNotFound(id);
  if (error instanceof SessionTerminatedError) return terminated(id);
  if (error instanceof SessionStoppedError || error instanceof DamagedLogError)
    return new ApiError(500, 'api_error', error.message, FINAL);
  if (error instanceof BatchTooLargeError) return tooLarge(error.message);
  if (error instanceof SessionBusyError) return rateLimited(error.message, 1);
  if (error instanceof MoveRefusedError) return invalidRequest(`to: ${error.message}`);
  if (error instanceof MoveUnderWayError) return conflict(error.message);
  return error;
}

/** 400 for an event to a session that is over. */
export function terminated(id: string): ApiError {
  return invalidRequest(`Session ${id} is terminated and takes no more events.`);
}
