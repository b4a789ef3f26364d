/** Sessions under test: made with the official client, watched on their own stream, and checked as logs at the end. */
import type Anthropic from '@anthropic-ai/sdk';
import type {
  AgentCreateParams,
  BetaManagedAgentsAgent,
} from '@anthropic-ai/sdk/resources/beta/agents/agents';
import type {
  BetaManagedAgentsSession,
  SessionCreateParams,
} from '@anthropic-ai/sdk/resources/beta/sessions/sessions';
import type {
  BetaManagedAgentsEventParams,
  BetaManagedAgentsSessionEvent,
  BetaManagedAgentsStreamSessionEvents,
  EventListParams,
} from '@anthropic-ai/sdk/resources/beta/sessions/events';
import { afterAll } from 'vitest';
import { SessionGoneError } from '../../src/session.ts';
import { createClient, server, unique, type TestClient } from './client.ts';
import { collect } from './control-plane.ts';
import { checkLog } from './invariants.ts';
import { eventually } from './process.ts';
import { withSessions } from './sessions.ts';
import { portOf } from './server.ts';

export { script } from '../../src/model/directives.ts';

/** What a stream gives. */
export type StreamEvent = BetaManagedAgentsStreamSessionEvents;

/** What the list gives. */
export type ListedEvent = BetaManagedAgentsSessionEvent;

/** What a client sends. */
export type Params = BetaManagedAgentsEventParams;
type Deltas = 'agent.message' | 'agent.thinking';

/** An event of one type. */
export type Of<T extends StreamEvent['type'], E extends { type: string } = StreamEvent> = Extract<
  E,
  { type: T }
>;

const PATIENCE_MS = 30_000;

/** One connection to a session's stream. */
export interface Watcher {
  /** All that has come so far. */
  readonly events: readonly StreamEvent[];
  /** Waits until `pick` finds something in what has come. */
  until<T>(what: string, pick: (events: readonly StreamEvent[]) => T | undefined | false): Promise<T>;
  /** Waits for the `nth` event of a type, 1 being the first. */
  next<T extends StreamEvent['type']>(type: T, nth?: number): Promise<Of<T>>;
  /** Resolves when the stream has ended; rejects when it broke. */
  readonly ended: Promise<void>;
  close(): void;
}

/** A session with a stream that was open before anything was sent. */
export interface Live extends Watcher {
  readonly id: string;
  readonly session: BetaManagedAgentsSession;
  send(...events: Params[]): Promise<readonly ListedEvent[]>;
  /** Sends a message and answers everything that the stream shows of its turn, up to the idle. */
  turn(text: string): Promise<StreamEvent[]>;
  list(params?: EventListParams): Promise<ListedEvent[]>;
  read(): Promise<BetaManagedAgentsSession>;
  interrupt(): Promise<void>;
}

/** What a test file works with. */
export interface Testbed extends TestClient {
  agent(params?: Partial<AgentCreateParams>): Promise<BetaManagedAgentsAgent>;
  environment(): Promise<string>;
  /** Makes a session. Without `agent`, it is of an agent with all built-in tools. */
  create(params?: Partial<SessionCreateParams>): Promise<BetaManagedAgentsSession>;
  watch(sessionId: string, deltas?: readonly Deltas[]): Promise<Watcher>;
  live(params?: Partial<SessionCreateParams>, deltas?: readonly Deltas[]): Promise<Live>;
  /** Notes a session that was made by other means, so that its log is checked too. */
  note(sessionId: string): void;
}

/** The toolset that all test agents have unless they say otherwise. */
export const TOOLSET = { type: 'agent_toolset_20260401' } as const;
/** The model of test agents. It thinks when its script does. */
export const MODEL = 'claude-sonnet-5';

/**
 * Two lines to begin a script with whose next step will be interrupted: without an answer in between, the model
 * would see two scripts in one message and read them as one.
 */
export const BEFORE = [{ say: '.' }, { stop: 'pause_turn' }] as const;

/** A user message. */
export function message(text: string): Params {
  return { type: 'user.message', content: [{ type: 'text', text }] };
}

/** The result of a custom tool; without an id it answers no call, and is refused. */
export function resultOf(id: string | undefined, text: string): Params {
  return { type: 'user.custom_tool_result', custom_tool_use_id: id ?? '', content: [{ type: 'text', text }] };
}

/** The types of events, in order. */
export function typesOf(events: readonly { type: string }[]): string[] {
  return events.map(({ type }) => type);
}

/** The events of one type. */
export function only<E extends { type: string }, T extends E['type']>(
  events: readonly E[],
  type: T,
): Extract<E, { type: T }>[] {
  return events.filter((event): event is Extract<E, { type: T }> => event.type === type);
}

/** All text of a result or message. */
export function textOf(event: object | undefined): string {
  const { content } = (event ?? {}) as { content?: readonly { text?: string }[] | null };
  return (content ?? []).map(({ text }) => text ?? '').join('');
}

/** Sets a test file up. When its tests are over, streams are closed and the log of every session is checked. */
export function useTestbed(): Testbed {
  const { client, calls } = createClient();
  const watchers = new Set<Watcher>();
  const made = new Set<string>();
  const agent: Testbed['agent'] = (params = {}) =>
    client.beta.agents.create({ name: unique('agent'), model: MODEL, tools: [TOOLSET], ...params });
  const environmentId = once(async () => (await client.beta.environments.create({ name: unique('env') })).id);
  const agentId = once(async () => (await agent()).id);

  const create: Testbed['create'] = async (params = {}) => {
    const session = await client.beta.sessions.create({
      agent: params.agent ?? (await agentId()),
      environment_id: await environmentId(),
      ...params,
    });
    made.add(session.id);
    return session;
  };
  const watch: Testbed['watch'] = async (sessionId, deltas = []) => {
    const watcher = await openWatcher(client, sessionId, deltas);
    watchers.add(watcher);
    return watcher;
  };

  afterAll(async () => {
    for (const watcher of watchers) watcher.close();
    await checkLogs([...made]);
  }, 120_000);

  return {
    client,
    calls,
    agent,
    environment: environmentId,
    create,
    watch,
    note: (id) => void made.add(id),
    async live(params, deltas) {
      const session = await create(params);
      return toLive(client, session, await watch(session.id, deltas));
    },
  };
}

async function openWatcher(
  client: Anthropic,
  sessionId: string,
  deltas: readonly Deltas[],
): Promise<Watcher> {
  const events: StreamEvent[] = [];
  const listeners = new Set<() => void>();
  const stream = await client.beta.sessions.events.stream(
    sessionId,
    deltas.length > 0 ? { event_deltas: [...deltas] } : {},
  );
  let isClosed = false;
  let over: string | undefined;
  const notify = (): void => listeners.forEach((listener) => listener());
  const read = async (): Promise<void> => {
    try {
      for await (const event of stream) {
        events.push(event);
        notify();
      }
      over = 'the stream ended';
    } catch (error) {
      over = `the stream broke: ${String(error)}`;
      if (!isClosed) throw error;
    } finally {
      notify();
    }
  };
  const ended = read();
  ended.catch(() => undefined);

  const until: Watcher['until'] = (what, pick) =>
    new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        listeners.delete(look);
        clearTimeout(timer);
        act();
      };
      const look = (): void => {
        const found = pick(events);
        if (found !== undefined && found !== false) settle(() => resolve(found));
        else if (over !== undefined)
          settle(() => reject(new Error(`${over} before ${what}: ${shown(events)}`)));
      };
      const timer = setTimeout(
        () =>
          settle(() => reject(new Error(`not within ${PATIENCE_MS} ms: ${what}; came: ${shown(events)}`))),
        PATIENCE_MS,
      );
      listeners.add(look);
      look();
    });

  return {
    events,
    until,
    next: <T extends StreamEvent['type']>(type: T, nth = 1) =>
      until(`${type} number ${nth}`, (all) => only(all, type)[nth - 1]),
    ended,
    close() {
      isClosed = true;
      stream.controller.abort();
    },
  };
}

function toLive(client: Anthropic, session: BetaManagedAgentsSession, watcher: Watcher): Live {
  const { id } = session;
  const { events } = client.beta.sessions;
  const send: Live['send'] = async (...params) => {
    const { data } = await events.send(id, { events: params });
    return data ?? [];
  };
  return {
    ...watcher,
    id,
    session,
    send,
    async turn(text) {
      const from = watcher.events.length;
      await send(message(text));
      return await watcher.until('the end of the turn', (all) => {
        const fresh = all.slice(from);
        const end = fresh.findIndex(({ type }) => type === 'session.status_idle');
        return end === -1 ? undefined : fresh.slice(0, end + 1);
      });
    },
    list: (params) => collect(events.list(id, params)),
    read: () => client.beta.sessions.retrieve(id),
    async interrupt() {
      await send({ type: 'user.interrupt' });
    },
  };
}

/** Checks the log of each session that is still there, and every prefix of it. */
export async function checkLogs(ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await withSessions(server(), async (sessions) => {
    for (const id of ids) {
      try {
        const { loop } = await sessions.getSession(id);
        checkLog(await sessions.getEvents(id), loop.status === 'idle' && loop.queue.length === 0);
      } catch (error) {
        if (error instanceof SessionGoneError) continue;
        throw new Error(`the log of ${id} is not as it must be`, { cause: error });
      }
    }
  });
}

/** What the scripted model was asked in requests that hold this text, oldest first. */
export async function modelRequests(containing: string): Promise<ModelRequest[]> {
  const url = `http://127.0.0.1:${await portOf(server(), 'model')}/x/requests`;
  const answer = await fetch(`${url}?contains=${encodeURIComponent(containing)}`);
  const { data } = (await answer.json()) as { data: ModelRequest[] };
  return data.filter(({ path }) => path.startsWith('/v1/messages'));
}

/** A request as the scripted model keeps it; `body` is a Messages request. */
export interface ModelRequest {
  readonly path: string;
  readonly status: number;
  readonly error: string | null;
  readonly body: {
    readonly messages: readonly { role: string; content: readonly Record<string, unknown>[] }[];
    readonly tools?: readonly { name: string }[];
  };
}

/** Polls a session until it says that it is idle. */
export async function untilIdle(client: Anthropic, id: string): Promise<BetaManagedAgentsSession> {
  return await eventually(
    'the session to be idle',
    async () => {
      const session = await client.beta.sessions.retrieve(id);
      return session.status === 'idle' ? session : undefined;
    },
    PATIENCE_MS,
  );
}

function shown(events: readonly StreamEvent[]): string {
  return typesOf(events).join(', ') || 'nothing';
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
