/** One long session: what it takes to read it, and what it costs the API's memory that it is long. */
import type Anthropic from '@anthropic-ai/sdk';
import type { EventListParams } from '@anthropic-ai/sdk/resources/beta/sessions/events';
import process from 'node:process';
import type { Server } from '../server.ts';
import {
  clientOf,
  figures,
  makeAgent,
  round,
  withServer,
  type Figures,
  type Result,
  type Scenario,
} from './measure.ts';
import { memoryOf } from './processes.ts';

const EVENTS = 100_000;
/** Where the same is measured, to see what grows. */
const EARLIER = 10_000;
/** So many messages a turn keep the making short. */
const BATCH = 400;
const RUNS = 40;
const PAGE = 1000;

/** `history`. */
export const history: Scenario = {
  about: `a session of ${EVENTS} events over several runs, read through the API, on either engine`,
  async run() {
    const result: Record<string, Figures | number | string> = {};
    for (const engine of ['temporal', 'log']) {
      const found = await withServer({ DROVER_SANDBOX: 'bubblewrap', DROVER_ENGINE: engine }, measure);
      for (const [what, figure] of Object.entries(found)) result[`${engine}: ${what}`] = figure;
    }
    return result;
  },
};

async function measure(server: Server): Promise<Result> {
  const client = clientOf(server);
  const { id } = await client.beta.sessions.create(await makeAgent(client));
  let events = await grow(client, id, 0, EARLIER);
  const early = await readPages(client, id);
  const memoryEarly = await memoryOf(server);
  events = await grow(client, id, events, EVENTS);
  const late = await readPages(client, id);
  const memoryLate = await memoryOf(server);
  process.kill(await server.pid('api'), 'SIGKILL');
  await untilHealthy(server.url);
  const cold = await timed(() => client.beta.sessions.events.list(id, { limit: PAGE }));
  for (let run = 0; run < RUNS; run += 1) await client.beta.sessions.events.list(id, { limit: PAGE });
  const memoryCold = await memoryOf(server);
  const { segments } = (await client.get(`/v1/x/sessions/${id}/verify`)) as { segments: unknown[] };
  return {
    events,
    'runs in the archive': segments.length,
    ...labelled(`at ${EARLIER}`, early),
    ...labelled(`at ${EVENTS}`, late),
    'first page, API just restarted, ms': round(cold),
    [`memory of the API at ${EARLIER}, MiB`]: memoryEarly['api'] ?? 0,
    [`memory of the API at ${EVENTS}, MiB`]: memoryLate['api'] ?? 0,
    'memory of the API, restarted, MiB': memoryCold['api'] ?? 0,
    [`memory of the worker at ${EVENTS}, MiB`]: memoryLate['worker'] ?? 0,
  };
}

/** Sends messages and waits for their answers until the list has so many events; answers how many it has. */
async function grow(client: Anthropic, id: string, from: number, to: number): Promise<number> {
  let events = from;
  for (let turn = 0; events < to; turn += 1) {
    const stream = await client.beta.sessions.events.stream(id);
    const text = `${'x'.repeat(200)} ${turn}`;
    const messages = Array.from({ length: BATCH }, () => ({
      type: 'user.message' as const,
      content: [{ type: 'text' as const, text }],
    }));
    await client.beta.sessions.events.send(id, { events: messages });
    for await (const event of stream) if (event.type === 'session.status_idle') break;
    stream.controller.abort();
    events += BATCH + 5;
  }
  return events;
}

async function readPages(client: Anthropic, id: string): Promise<Result> {
  const list = (query: EventListParams) => repeated(() => client.beta.sessions.events.list(id, query));
  const { length } = (await client.get(`/v1/x/sessions/${id}/events?limit=1`)) as { length: number };
  const middle = `/v1/x/sessions/${id}/events?from=${Math.floor(length / 2)}&limit=${PAGE}`;
  return {
    [`first page of ${PAGE}`]: await list({ limit: PAGE }),
    [`last page of ${PAGE}`]: await list({ limit: PAGE, order: 'desc' }),
    'one type': await list({ limit: PAGE, types: ['agent.message'] }),
    [`slice of ${PAGE} in the middle`]: await repeated(() => client.get(middle)),
    'the session itself': await repeated(() => client.beta.sessions.retrieve(id)),
  };
}

async function repeated(read: () => Promise<unknown>): Promise<Figures> {
  const samples: number[] = [];
  for (let run = 0; run < RUNS; run += 1) samples.push(await timed(read));
  return figures(samples);
}

async function timed(read: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await read();
  return performance.now() - start;
}

function labelled(label: string, result: Result): Result {
  return Object.fromEntries(Object.entries(result).map(([what, figure]) => [`${label}, ${what}`, figure]));
}

async function untilHealthy(url: string): Promise<void> {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline;) {
    const answer = await fetch(`${url}/healthz`).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('the API does not come back');
}
