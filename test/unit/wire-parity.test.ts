/**
 * Compile-time parity: what the server answers can be assigned to the official client's types, and what that client
 * sends can be assigned to what the schemas take. A field that drifts fails `npm run check:types`.
 */
import type * as Agents from '@anthropic-ai/sdk/resources/beta/agents/agents';
import type * as Environments from '@anthropic-ai/sdk/resources/beta/environments/environments';
import type * as Events from '@anthropic-ai/sdk/resources/beta/sessions/events';
import type * as Sessions from '@anthropic-ai/sdk/resources/beta/sessions/sessions';
import type * as Models from '@anthropic-ai/sdk/resources/models';
import type { z } from 'zod';
import { expect, expectTypeOf, it } from 'vitest';
import type { Agent, agentCreateParams, agentUpdateParams } from '../../src/wire/agent.ts';
import type {
  Environment,
  environmentCreateParams,
  environmentUpdateParams,
} from '../../src/wire/environment.ts';
import type { DELTA_TYPES, EventBody, Preview, QueuedEvent, WireEvent } from '../../src/wire/event.ts';
import { LISTABLE_TYPES } from '../../src/wire/event.ts';
import type { eventParams, initialEventParams } from '../../src/wire/event-params.ts';
import type { ModelInfo } from '../../src/wire/model.ts';
import type { Session, sessionCreateParams, sessionUpdateParams } from '../../src/wire/session.ts';
import type {
  SessionAgent,
  sessionAgentParams,
  sessionAgentUpdateParams,
} from '../../src/wire/session-agent.ts';

type HeaderParams = 'betas' | 'workspace_id';

it('answers fit the client', () => {
  expectTypeOf<Agent>().toExtend<Agents.BetaManagedAgentsAgent>();
  expectTypeOf<SessionAgent>().toExtend<Sessions.BetaManagedAgentsSessionAgent>();
  expectTypeOf<Environment>().toExtend<Environments.BetaEnvironment>();
  expectTypeOf<ModelInfo>().toExtend<Models.ModelInfo>();
  expectTypeOf<Session>().toExtend<Sessions.BetaManagedAgentsSession>();
});

it('answers leave no field of the client out', () => {
  expectTypeOf<keyof Agents.BetaManagedAgentsAgent>().toEqualTypeOf<keyof Agent>();
  expectTypeOf<keyof Sessions.BetaManagedAgentsSessionAgent>().toEqualTypeOf<keyof SessionAgent>();
  expectTypeOf<keyof Environments.BetaEnvironment>().toEqualTypeOf<keyof Environment>();
  expectTypeOf<keyof Models.ModelInfo>().toEqualTypeOf<keyof ModelInfo>();
  expectTypeOf<keyof Sessions.BetaManagedAgentsSession>().toEqualTypeOf<keyof Session>();
  expectTypeOf<keyof Sessions.BetaManagedAgentsSessionUsage>().toEqualTypeOf<keyof Session['usage']>();
  expectTypeOf<keyof Sessions.BetaManagedAgentsSessionStats>().toEqualTypeOf<keyof Session['stats']>();
});

/** Only what clients queue can be without a time; everything else has one when it is answered. */
type Answered<E extends EventBody> = E extends QueuedEvent
  ? E & { processed_at: string | null }
  : E & { processed_at: string };
/** The agent of an update is kept as it came out of `SessionAgent`, which is compared above. */
type Known<E> = E extends { type: 'session.updated' } ? Omit<E, 'agent'> : E;
type OfType<E, T> = E extends { type: infer U } ? (T extends U ? E : never) : never;
type Ours<T extends WireEvent['type']> = OfType<EventBody, T>;
type Theirs<T extends string> = Extract<Events.BetaManagedAgentsSessionEvent, { type: T }>;

it('events fit the client, in lists, on streams and as answers to what was sent', () => {
  expectTypeOf<Known<Answered<EventBody>>>().toExtend<Known<Events.BetaManagedAgentsSessionEvent>>();
  expectTypeOf<Known<Answered<EventBody>>>().toExtend<Known<Events.BetaManagedAgentsStreamSessionEvents>>();
  type Echo = NonNullable<Events.BetaManagedAgentsSendSessionEvents['data']>[number];
  expectTypeOf<Answered<QueuedEvent | Ours<'user.custom_tool_result'>>>().toExtend<Echo>();
  expectTypeOf<Preview>().toExtend<Events.BetaManagedAgentsStreamSessionEvents>();
});

it('events leave no field of the client out', () => {
  type Kept = Exclude<EventBody['type'], 'session.updated'>;
  /** Fields of the client's events that ours never have: they belong to threads and budgets, which are not there. */
  type NotYet = 'session_thread_id' | 'processed_at' | 'budget';
  type Left<T extends Kept> = Exclude<keyof Theirs<T>, keyof Ours<T> | NotYet>;
  expectTypeOf<{ [T in Kept as Left<T> extends never ? never : T]: Left<T> }>().toEqualTypeOf<{}>();
  type Extra<T extends Kept> = Exclude<keyof Ours<T>, keyof Theirs<T>>;
  expectTypeOf<{ [T in Kept as Extra<T> extends never ? never : T]: Extra<T> }>().toEqualTypeOf<{}>();
});

it('every type that the client can list by is known, and no other', () => {
  type Filter = NonNullable<Events.EventListParams['types']>[number];
  expectTypeOf<EventBody['type']>().toExtend<Filter>();
  const known: Record<Filter, true> = {
    'user.message': true,
    'user.interrupt': true,
    'user.tool_confirmation': true,
    'user.custom_tool_result': true,
    'user.tool_result': true,
    'user.define_outcome': true,
    'system.message': true,
    'agent.message': true,
    'agent.thinking': true,
    'agent.tool_use': true,
    'agent.tool_result': true,
    'agent.mcp_tool_use': true,
    'agent.mcp_tool_result': true,
    'agent.custom_tool_use': true,
    'agent.thread_context_compacted': true,
    'agent.thread_message_sent': true,
    'agent.thread_message_received': true,
    'session.status_running': true,
    'session.status_idle': true,
    'session.status_rescheduled': true,
    'session.status_terminated': true,
    'session.error': true,
    'session.updated': true,
    'session.usage': true,
    'session.thread_created': true,
    'session.thread_status_running': true,
    'session.thread_status_idle': true,
    'session.thread_status_rescheduled': true,
    'session.thread_status_terminated': true,
    'span.model_request_start': true,
    'span.model_request_end': true,
    'span.outcome_evaluation_start': true,
    'span.outcome_evaluation_ongoing': true,
    'span.outcome_evaluation_end': true,
    'workflow_run.created': true,
    'workflow_run.status_running': true,
    'workflow_run.status_idle': true,
    'workflow_run.status_ended': true,
    'workflow_run.error': true,
    'workflow_run.phase_started': true,
    'workflow_run.phase_ended': true,
  };
  expect(LISTABLE_TYPES.toSorted()).toEqual(Object.keys(known).toSorted());
  expectTypeOf<NonNullable<Events.EventStreamParams['event_deltas']>[number]>().toEqualTypeOf<
    (typeof DELTA_TYPES)[number]
  >();
});

it('requests of the client are understood', () => {
  type AgentCreate = Omit<Agents.AgentCreateParams, HeaderParams>;
  type AgentUpdate = Omit<Agents.AgentUpdateParams, HeaderParams>;
  expectTypeOf<keyof AgentCreate>().toEqualTypeOf<keyof z.input<typeof agentCreateParams>>();
  expectTypeOf<keyof AgentUpdate>().toEqualTypeOf<keyof z.input<typeof agentUpdateParams>>();
  // Both are refused on purpose, in words that name them.
  type Refused = 'multiagent' | 'execution_identity' | 'scope';
  expectTypeOf<Omit<AgentCreate, Refused>>().toExtend<Omit<z.input<typeof agentCreateParams>, Refused>>();
  expectTypeOf<Omit<AgentUpdate, Refused>>().toExtend<Omit<z.input<typeof agentUpdateParams>, Refused>>();

  type EnvironmentCreate = Omit<Environments.EnvironmentCreateParams, HeaderParams>;
  type EnvironmentUpdate = Omit<Environments.EnvironmentUpdateParams, HeaderParams>;
  expectTypeOf<keyof EnvironmentCreate>().toEqualTypeOf<keyof z.input<typeof environmentCreateParams>>();
  expectTypeOf<keyof EnvironmentUpdate>().toEqualTypeOf<keyof z.input<typeof environmentUpdateParams>>();
  expectTypeOf<Omit<EnvironmentCreate, Refused>>().toExtend<
    Omit<z.input<typeof environmentCreateParams>, Refused>
  >();
  expectTypeOf<Omit<EnvironmentUpdate, Refused>>().toExtend<
    Omit<z.input<typeof environmentUpdateParams>, Refused>
  >();

  expectTypeOf<Sessions.SessionCreateParams['agent']>().toExtend<z.input<typeof sessionAgentParams>>();
  expectTypeOf<Sessions.BetaManagedAgentsSessionAgentUpdate>().toExtend<
    z.input<typeof sessionAgentUpdateParams>
  >();
});

/** A schema's optional fields may also be undefined by name; in JSON that is the same as not there. */
type Given<T> = T extends object ? { [K in keyof T]: Given<Exclude<T[K], undefined>> } : T;

it('what the client sends to a session is understood', () => {
  type SessionCreate = Omit<Sessions.SessionCreateParams, HeaderParams>;
  type SessionUpdate = Omit<Sessions.SessionUpdateParams, HeaderParams>;
  expectTypeOf<keyof SessionCreate>().toEqualTypeOf<keyof z.input<typeof sessionCreateParams>>();
  expectTypeOf<keyof SessionUpdate>().toEqualTypeOf<keyof z.input<typeof sessionUpdateParams>>();
  expectTypeOf<SessionCreate>().toExtend<z.input<typeof sessionCreateParams>>();
  expectTypeOf<SessionUpdate>().toExtend<z.input<typeof sessionUpdateParams>>();

  // Each event that is taken has just the fields that the client knows; the rest is refused by its name.
  type Taken = z.input<typeof eventParams>;
  type Sent<T extends Taken['type']> = Extract<Events.BetaManagedAgentsEventParams, { type: T }>;
  type Mismatch<T extends Taken['type']> =
    | Exclude<keyof Sent<T>, keyof Extract<Taken, { type: T }>>
    | Exclude<keyof Extract<Taken, { type: T }>, keyof Sent<T>>;
  expectTypeOf<{
    [T in Taken['type'] as Mismatch<T> extends never ? never : T]: Mismatch<T>;
  }>().toEqualTypeOf<{}>();
  expectTypeOf<Given<z.output<typeof eventParams>>>().toExtend<Events.BetaManagedAgentsEventParams>();
  expectTypeOf<Given<z.output<typeof initialEventParams>>>().toExtend<
    NonNullable<SessionCreate['initial_events']>[number]
  >();

  // Without content the client's own types fit as they are; content may name files, which are not there yet.
  type Bare = 'user.interrupt' | 'user.tool_confirmation';
  expectTypeOf<Sent<Bare>>().toExtend<Taken>();
  type Text = Events.BetaManagedAgentsTextBlock;
  expectTypeOf<{ type: 'user.message'; content: Text[] }>().toExtend<Taken>();
  expectTypeOf<Events.BetaManagedAgentsSearchResultBlock>().toExtend<
    NonNullable<Extract<Taken, { type: 'user.custom_tool_result' }>['content']>[number]
  >();
  expectTypeOf<
    Events.BetaManagedAgentsURLImageSource | Events.BetaManagedAgentsPlainTextDocumentSource
  >().toExtend<
    Extract<Extract<Taken, { type: 'user.message' }>['content'][number], { source: unknown }>['source']
  >();
});
