/** What of a session's log a model request is made of. */
import { MOST_SAID } from './brain.ts';
import type { Entry } from './log.ts';
import type { Sessions } from './session.ts';

const SETTINGS = ['x.session_created', 'session.updated'] as const;
const SAID = ['user.message', 'system.message'] as const;

/**
 * Reads what the brain is to see of the log up to a `span.model_request_start`. Of what a summary stands for, that is
 * only how the session is set up and what was said last: a request costs what its window holds, not what the log does. A
 * request that makes a summary gets all.
 *
 * @throws {SessionGoneError} when there is no such event
 */
export async function readPromptLog(
  sessions: Pick<Sessions, 'getEvents'>,
  sessionId: string,
  spanId: string,
): Promise<readonly Entry[]> {
  const through = { throughId: spanId };
  const newest = { ...through, order: 'desc', limit: 1 } as const;
  const [span] = await sessions.getEvents(sessionId, newest);
  const types = ['agent.thread_context_compacted'];
  const [last] = span?.extra?.compact ? [] : await sessions.getEvents(sessionId, { ...newest, types });
  const summary = last?.extra?.compaction;
  if (!summary) return await sessions.getEvents(sessionId, through);
  const before = { to: summary.through + 1 };
  const settings = await sessions.getEvents(sessionId, { ...before, types: SETTINGS });
  // Each may stand there twice, as it was queued and as it was taken up.
  const limit = 2 * MOST_SAID;
  const said = await sessions.getEvents(sessionId, { ...before, types: SAID, order: 'desc', limit });
  const rest = await sessions.getEvents(sessionId, { ...through, from: summary.through + 1 });
  const earlier = [...settings, ...said].toSorted((left, right) => left.position - right.position);
  return [...earlier, ...rest];
}
