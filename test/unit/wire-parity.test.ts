/**
 * Compile-time parity: what the server answers can be assigned to the official client's types, and what that client
 * sends can be assigned to what the schemas take. A field that drifts fails `npm run check:types`.
 */
import type * as Agents from '@anthropic-ai/sdk/resources/beta/agents/agents';
import type * as Environments from '@anthropic-ai/sdk/resources/beta/environments/environments';
import type * as Sessions from '@anthropic-ai/sdk/resources/beta/sessions/sessions';
import type * as Models from '@anthropic-ai/sdk/resources/models';
import type { z } from 'zod';
import { expectTypeOf, it } from 'vitest';
import type { Agent, agentCreateParams, agentUpdateParams } from '../../src/wire/agent.ts';
import type {
  Environment,
  environmentCreateParams,
  environmentUpdateParams,
} from '../../src/wire/environment.ts';
import type { ModelInfo } from '../../src/wire/model.ts';
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
});

it('answers leave no field of the client out', () => {
  expectTypeOf<keyof Agents.BetaManagedAgentsAgent>().toEqualTypeOf<keyof Agent>();
  expectTypeOf<keyof Sessions.BetaManagedAgentsSessionAgent>().toEqualTypeOf<keyof SessionAgent>();
  expectTypeOf<keyof Environments.BetaEnvironment>().toEqualTypeOf<keyof Environment>();
  expectTypeOf<keyof Models.ModelInfo>().toEqualTypeOf<keyof ModelInfo>();
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
