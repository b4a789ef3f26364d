/** A session's log, read by the test process itself, past the API. */
import type { Entry } from '../../src/log.ts';
import { checkLog } from './invariants.ts';
import { withSessions, type SessionsPlace } from './sessions.ts';

/** Reads the log and checks it against all invariants; the session rests. */
export async function checkSessionLog(place: SessionsPlace, sessionId: string): Promise<readonly Entry[]> {
  const entries = await withSessions(place, (sessions) => sessions.getEvents(sessionId));
  checkLog(entries, true);
  return entries;
}
