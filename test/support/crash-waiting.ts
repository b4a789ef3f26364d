/** Sessions that wait while their worker dies: brought there, looked at before and after, and then answered. */
import type { BetaManagedAgentsEventParams as Params } from '@anthropic-ai/sdk/resources/beta/sessions/events';
import { expect } from 'vitest';
import {
  checkSession,
  isIdle,
  isLogged,
  listAll,
  makeSession,
  say,
  script,
  watch,
  type Event,
  type Frame,
  type Line,
  type Watch,
} from './crash-client.ts';
import type { CrashServer } from './crash-server.ts';

/** What a session waits for, and how it goes on from there. */
export interface Scenario {
  readonly script: readonly Line[];
  /** Sent to get there, once the calls are known. */
  readonly before?: (calls: readonly string[]) => Params;
  /** The last frame of the way there, where it is not an idle. */
  readonly until?: Frame['type'];
  /** What ends the wait; none where it ends by itself. */
  readonly answer?: (calls: readonly string[]) => Params;
  /** The types of all events from there to the end, each in its final form. */
  readonly events: readonly string[];
  /** What the model says at the end. */
  readonly says?: string;
}

/** All that a client can see of a session. */
export interface Sight {
  readonly listed: readonly Event[];
  readonly streamed: readonly Frame[];
  /** The session resource, without what changes by the clock. */
  readonly resource: object;
}

export interface Waiting {
  readonly id: string;
  readonly watched: Watch;
  readonly calls: readonly string[];
  /** What there was to see when it began to wait. */
  readonly sight: Sight;
}

/** Tools that wait for the client: `lookup` for a result, `bash` for a confirmation. */
const TOOLS: Parameters<typeof makeSession>[1] = [
  { type: 'custom', name: 'lookup', description: 'Looks up.', input_schema: { type: 'object' } },
  {
    type: 'agent_toolset_20260401',
    configs: [{ name: 'bash', permission_policy: { type: 'always_ask' } }],
  },
];

/** Makes a session and brings it to where it waits. */
export async function bringToWait(server: CrashServer, scenario: Scenario): Promise<Waiting> {
  const id = await makeSession(server, TOOLS);
  const watched = await watch(server, id);
  await say(server, id, script(...scenario.script));
  const isThere = (frame: Frame): boolean => frame.type === (scenario.until ?? 'session.status_idle');
  await watched.until('the wait', isThere);
  const calls = watched.seen.flatMap(({ frame }) =>
    frame.type === 'agent.tool_use' || frame.type === 'agent.custom_tool_use' ? [frame.id] : [],
  );
  if (scenario.before) {
    const from = watched.seen.length;
    await server.api.beta.sessions.events.send(id, { events: [scenario.before(calls)] });
    await watched.until('the second wait', isThere, { from });
  }
  // `session.thread_status_rescheduled` comes behind the frame that was waited for.
  const listed = await listAll(server.api, id);
  await watched.until('the rest', (frame) => 'id' in frame && frame.id === listed.at(-1)?.id);
  return { id, watched, calls, sight: await look(server, { id, watched }) };
}

/** What a client sees now. */
export async function look(
  server: CrashServer,
  { id, watched }: Pick<Waiting, 'id' | 'watched'>,
): Promise<Sight> {
  const session = await server.api.beta.sessions.retrieve(id);
  return {
    listed: await listAll(server.api, id),
    // A ping says nothing.
    streamed: watched.seen.map(({ frame }) => frame).filter(({ type }: { type: string }) => type !== 'ping'),
    resource: { ...session, stats: undefined },
  };
}

/** Ends the wait. Answers the event as the server took it; undefined where the wait ends by itself. */
export async function answerOnce(server: CrashServer, { id, calls }: Waiting, { answer }: Scenario) {
  if (!answer) return undefined;
  const { data } = await server.api.beta.sessions.events.send(id, { events: [answer(calls)] });
  return data?.[0];
}

/** Follows a session from where it waited to its end, and checks that it is the normal one. */
export async function checkEnd(server: CrashServer, waiting: Waiting, scenario: Scenario): Promise<void> {
  const { id, watched, sight } = waiting;
  const from = sight.streamed.length;
  await watched.until('the end', isIdle, { from });
  const listed = await checkSession(server, id, watched);
  expect(listed.slice(0, sight.listed.length)).toEqual(sight.listed);
  expect(listed.slice(sight.listed.length).map(({ type }) => type)).toEqual(scenario.events);
  expect(listed.at(-1)).toMatchObject({ stop_reason: { type: 'end_turn' } });
  const said = watched.seen
    .map(({ frame }) => frame)
    .findLast((frame) => isLogged(frame) && frame.type === 'agent.message');
  if (scenario.says !== undefined) expect(said).toMatchObject({ content: [{ text: scenario.says }] });
  watched.close();
}
