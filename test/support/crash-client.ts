/** A client of a server that crashes: sessions, turns, and a stream that is watched from before the crash on. */
import type Anthropic from '@anthropic-ai/sdk';
import type { AgentCreateParams } from '@anthropic-ai/sdk/resources/beta/agents/agents';
import type {
  BetaManagedAgentsSessionEvent,
  BetaManagedAgentsStreamSessionEvents,
} from '@anthropic-ai/sdk/resources/beta/sessions/events';
import type { SessionCreateParams } from '@anthropic-ai/sdk/resources/beta/sessions/sessions';
import { accumulateManagedAgentsEvent } from '@anthropic-ai/sdk/lib/sessions/accumulate';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { checkSessionLog } from './crash-log.ts';
import type { CrashServer } from './crash-server.ts';
import { eventually } from './process.ts';

export type Event = BetaManagedAgentsSessionEvent;
export type Frame = BetaManagedAgentsStreamSessionEvents;

/** A frame of the stream and when it came. */
export interface Seen {
  readonly frame: Frame;
  readonly atMs: number;
}

/** A stream that is read to its end. */
export interface Watch {
  readonly seen: readonly Seen[];
  /** What ended the stream, when it has ended. */
  readonly broken: Error | undefined;
  /** Waits for a frame among those from index `from` on. */
  until(what: string, isIt: (frame: Frame) => boolean, options?: WaitOptions): Promise<Seen>;
  close(): void;
}

export { script } from '../../src/model/directives.ts';

interface WaitOptions {
  readonly from?: number;
  readonly withinMs?: number;
}

/** One directive of the scripted model. */
export type Line = Readonly<Record<string, unknown>>;

const TURN_WITHIN_MS = 60_000;

/** A bash call of the script. */
export function bash(command: string): Line {
  return { call: 'bash', input: { command } };
}

/** A session with the agent toolset, or with other tools. */
export async function makeSession(
  { api }: Pick<CrashServer, 'api'>,
  tools: AgentCreateParams['tools'] = [{ type: 'agent_toolset_20260401' }],
  params: Partial<SessionCreateParams> = {},
): Promise<string> {
  const agent = await api.beta.agents.create({ name: 'crash-tester', model: 'claude-sonnet-5', tools });
  const environment = await api.beta.environments.create({ name: `crash-${agent.id}` });
  const session = await api.beta.sessions.create({
    agent: agent.id,
    environment_id: environment.id,
    ...params,
  });
  return session.id;
}

/** Opens a stream with previews. When this resolves it is attached: nothing that comes later is missed. */
export async function watch({ api }: Pick<CrashServer, 'api'>, sessionId: string): Promise<Watch> {
  const stream = await api.beta.sessions.events.stream(sessionId, {
    event_deltas: ['agent.message', 'agent.thinking'],
  });
  const seen: Seen[] = [];
  let broken: Error | undefined;
  let accumulated: Parameters<typeof accumulateManagedAgentsEvent>[0];
  const reading = (async () => {
    try {
      for await (const frame of stream) {
        seen.push({ frame, atMs: Date.now() });
        // What the SDK does with previews must not throw, whatever happened to the attempt that made them.
        if (isAboutMessages(frame)) accumulated = accumulateManagedAgentsEvent(accumulated, frame);
      }
      broken = new Error('the stream ended');
    } catch (error) {
      broken = error instanceof Error ? error : new Error(String(error));
    }
  })();
  return {
    seen,
    get broken() {
      return broken;
    },
    async until(what, isIt, { from = 0, withinMs = TURN_WITHIN_MS } = {}) {
      const find = () => {
        const found = seen.slice(from).find(({ frame }) => isIt(frame));
        if (found === undefined && broken !== undefined)
          throw new Error(`the stream broke before: ${what}: ${broken.message}`);
        return found;
      };
      return await eventually(what, find, withinMs).catch((error: unknown) => {
        throw new Error(
          `${String(error)}; the stream had: ${seen.map(({ frame }) => frame.type).join(' ')}`,
          {
            cause: error,
          },
        );
      });
    },
    close() {
      stream.controller.abort();
      void reading;
    },
  };
}

function isAboutMessages(frame: Frame): boolean {
  if (frame.type === 'event_start') return frame.event.type === 'agent.message';
  return frame.type === 'event_delta' || frame.type === 'agent.message';
}

/** Sends a message. */
export async function say({ api }: Pick<CrashServer, 'api'>, sessionId: string, text: string) {
  return await api.beta.sessions.events.send(sessionId, {
    events: [{ type: 'user.message', content: [{ type: 'text', text }] }],
  });
}

/** A whole turn: sends the message and waits for the end of it. Answers the frames of the turn. */
export async function turn(
  server: Pick<CrashServer, 'api'>,
  sessionId: string,
  watched: Watch,
  text: string,
): Promise<Frame[]> {
  const from = watched.seen.length;
  await say(server, sessionId, text);
  await watched.until('the end of the turn', isIdle, { from });
  return watched.seen.slice(from).map(({ frame }) => frame);
}

export function isIdle(frame: Frame): boolean {
  return frame.type === 'session.status_idle';
}

/** Whether a frame is an event of the log, in its final form. */
export function isLogged(frame: Frame): frame is Event {
  return (
    frame.type !== 'event_start' &&
    frame.type !== 'event_delta' &&
    'processed_at' in frame &&
    frame.processed_at !== null
  );
}

/** All events of a session, as the list has them. */
export async function listAll(api: Anthropic, sessionId: string): Promise<Event[]> {
  const events: Event[] = [];
  for await (const event of api.beta.sessions.events.list(sessionId, { limit: 1000 })) events.push(event);
  return events;
}

/**
 * Checks a session from outside. Its list has each event once. What the stream gave, from the session's start on, is
 * the list, event for event. The log satisfies all invariants, and the session rests.
 */
export async function checkSession(server: CrashServer, sessionId: string, watched: Watch): Promise<Event[]> {
  const listed = await checkList(server, sessionId);
  const streamed = watched.seen.map(({ frame }) => frame).filter(isLogged);
  expect(streamed).toEqual(listed);
  checkPreviews(watched);
  return listed;
}

/** `checkSession` without a stream. */
export async function checkList(server: CrashServer, sessionId: string): Promise<Event[]> {
  const session = await eventually('an idle session', async () => {
    const now = await server.api.beta.sessions.retrieve(sessionId);
    return now.status === 'idle' && now;
  });
  expect(session.status).toBe('idle');
  const listed = await listAll(server.api, sessionId);
  const ids = listed.map(({ id }) => id);
  expect(ids).toEqual([...new Set(ids)]);
  expect(listed.filter((event) => event.processed_at === null || event.processed_at === undefined)).toEqual(
    [],
  );
  expect(listed.at(-1)?.type).toBe('session.status_idle');
  await checkSessionLog(server, sessionId);
  return listed;
}

/** For each id one start before its deltas, and nothing after its event. */
function checkPreviews(watched: Watch): void {
  const started = new Set<string>();
  const over = new Set<string>();
  for (const { frame } of watched.seen) {
    if (frame.type === 'event_start') {
      expect(started.has(frame.event.id)).toBe(false);
      started.add(frame.event.id);
    }
    if (frame.type === 'event_delta') {
      expect(started.has(frame.event_id)).toBe(true);
      expect(over.has(frame.event_id)).toBe(false);
    }
    if (frame.type === 'agent.message' || frame.type === 'agent.thinking') over.add(frame.id);
  }
}

/** The results of tools, oldest first: their text and whether they are errors. */
export function toolResults(frames: readonly Frame[]): { text: string; isError: boolean }[] {
  return frames.flatMap((frame) => {
    if (frame.type !== 'agent.tool_result') return [];
    const text = (frame.content ?? []).map((block) => (block.type === 'text' ? block.text : block.type));
    return [{ text: text.join('\n'), isError: frame.is_error === true }];
  });
}

/** What the model was asked, as far as it holds this text. */
export async function modelRequests(
  server: Pick<CrashServer, 'ports'>,
  contains: string,
): Promise<{ readonly received_at: string }[]> {
  const query = new URLSearchParams({ contains });
  const answer = await fetch(`http://127.0.0.1:${server.ports.model}/x/requests?${query.toString()}`);
  return ((await answer.json()) as { data: { received_at: string }[] }).data;
}

/** Prints a measurement, so that it shows in the report of a run. */
export function measured(what: string, ms: number): void {
  process.stderr.write(`measured: ${what}: ${(ms / 1000).toFixed(2)} s\n`);
}

/** A pause that is part of the scenario, not a way to wait for something. */
export async function pause(ms: number): Promise<void> {
  await sleep(ms);
}
