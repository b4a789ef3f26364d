/** What all benchmarks share: a client, a turn, percentiles. */
import Anthropic from '@anthropic-ai/sdk';
import type { AgentCreateParams } from '@anthropic-ai/sdk/resources/beta/agents/agents';
import { startServer, type Server } from '../server.ts';

/** A distribution of milliseconds. */
export interface Figures {
  readonly runs: number;
  readonly p50: number;
  readonly p95: number;
  readonly min: number;
  readonly max: number;
}

/** What a benchmark found: by name, distributions or single numbers. */
export type Result = Readonly<Record<string, Figures | number | string>>;

/** A benchmark: what it is about, and how it is run. */
export interface Scenario {
  readonly about: string;
  run(): Promise<Result>;
}

const WARM_UP_TURNS = 20;

/** A server for the time of `use`; `atEnd`: what becomes of its sessions. */
export async function withServer<T>(
  env: NodeJS.ProcessEnv,
  use: (server: Server) => Promise<T>,
  atEnd?: Parameters<Server['stop']>[0],
): Promise<T> {
  const server = await startServer(env);
  try {
    return await use(server);
  } finally {
    await server.stop(atEnd);
  }
}

/** Some turns, so that all that is made once is there. */
export async function warmUp(server: Server): Promise<void> {
  const client = clientOf(server);
  const session = await client.beta.sessions.create(await makeAgent(client));
  for (let turn = 0; turn < WARM_UP_TURNS; turn += 1) await runTurn(client, session.id, `warm up ${turn}`);
}

export function figures(samples: readonly number[]): Figures {
  const sorted = [...samples].sort((left, right) => left - right);
  const at = (share: number): number =>
    round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  return { runs: sorted.length, p50: at(0.5), p95: at(0.95), min: at(0), max: round(sorted.at(-1) ?? 0) };
}

export function round(value: number): number {
  return Math.round(value * 10) / 10;
}

export function clientOf(server: Server): Anthropic {
  return new Anthropic({ apiKey: server.apiKey, baseURL: server.url, maxRetries: 0 });
}

/** An agent, with the toolset unless other tools are given, and an environment without network. */
export async function makeAgent(
  client: Anthropic,
  tools: AgentCreateParams['tools'] = [{ type: 'agent_toolset_20260401' }],
): Promise<{ agent: string; environment_id: string }> {
  const agent = await client.beta.agents.create({ name: 'bench', model: 'claude-sonnet-5', tools });
  const environment = await client.beta.environments.create({
    name: `bench ${crypto.randomUUID()}`,
    config: { type: 'cloud', networking: { type: 'limited' } },
  });
  return { agent: agent.id, environment_id: environment.id };
}

export interface Turn {
  /** From the call of `send` to the first text, previewed or whole. */
  readonly firstTextMs: number;
  /** From the call of `send` to idle. */
  readonly idleMs: number;
}

/** Opens a stream, sends a message, and follows the turn to its end. */
export async function runTurn(client: Anthropic, sessionId: string, text: string): Promise<Turn> {
  const stream = await client.beta.sessions.events.stream(sessionId, { event_deltas: ['agent.message'] });
  const start = performance.now();
  let firstTextMs = Number.NaN;
  await client.beta.sessions.events.send(sessionId, {
    events: [{ type: 'user.message', content: [{ type: 'text', text }] }],
  });
  for await (const event of stream) {
    const isText = event.type === 'event_delta' || event.type === 'agent.message';
    if (isText && Number.isNaN(firstTextMs)) firstTextMs = performance.now() - start;
    if (event.type === 'session.status_idle') break;
  }
  stream.controller.abort();
  return { firstTextMs, idleMs: performance.now() - start };
}

/** The scripted model's own latency for one plain answer, asked directly. */
export async function modelLatency(server: Server, runs: number): Promise<number[]> {
  const model = new Anthropic({
    apiKey: 'any',
    baseURL: `http://127.0.0.1:${await server.port('model')}`,
    maxRetries: 0,
  });
  const samples: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const start = performance.now();
    await model.beta.messages
      .stream({
        model: 'claude-sonnet-5',
        max_tokens: 1000,
        messages: [{ role: 'user', content: `hello ${run}` }],
      })
      .finalMessage();
    samples.push(performance.now() - start);
  }
  return samples;
}
