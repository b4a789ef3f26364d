/** 1,000 sessions that wait for their client: what they cost while they do, and how quickly they go on. */
import type Anthropic from '@anthropic-ai/sdk';
import { Client } from '@temporalio/client';
import { setTimeout as pause } from 'node:timers/promises';
import { script } from '../../src/model/directives.ts';
import { connectTemporal } from '../../src/temporal-server/connection.ts';
import type { Server } from '../server.ts';
import {
  clientOf,
  figures,
  makeAgent,
  round,
  runTurn,
  warmUp,
  withServer,
  type Result,
  type Scenario,
} from './measure.ts';
import { cpuOf, cpuSeconds, labelledMemory, memoryOf, pidsWhere } from './processes.ts';

const SESSIONS = 1000;
const AT_ONCE = 16;
const ANSWERS = 50;
const QUIET_MS = 60_000;
const LOOKUP = {
  type: 'custom',
  name: 'lookup',
  description: 'Looks something up.',
  input_schema: { type: 'object' },
} as const;
const SCRIPT = script({ call: 'lookup' }, { say: 'found: {{result}}' });

/** `waiting`. */
export const waiting: Scenario = {
  about: `${SESSIONS} sessions that wait for a custom tool's result, all at once`,
  run: () => withServer({ DROVER_SANDBOX: 'bubblewrap' }, measure, 'leave'),
};

async function measure(server: Server): Promise<Result> {
  await warmUp(server);
  const client = clientOf(server);
  const [cpuFirst, memoryFirst] = [await cpuOf(server), await memoryOf(server)];
  const start = performance.now();
  const sessions = await makeSessions(client);
  const madeMs = performance.now() - start;
  const [cpuMade, memoryMade] = [await cpuOf(server), await memoryOf(server)];

  const handsBefore = await countHands(server);
  const eventsBefore = await countHistory(server, sessions);
  const cpuQuiet = await cpuOf(server);
  await pause(QUIET_MS);
  const [cpuAfter, memoryAfter] = [await cpuOf(server), await memoryOf(server)];
  const eventsAfter = await countHistory(server, sessions);
  const handsAfter = await countHands(server);

  const latencies: number[] = [];
  for (const id of pick(sessions, ANSWERS)) latencies.push(await answer(client, id));
  return {
    'seconds to make them': round(madeMs / 1000),
    'sessions per second': round((SESSIONS * 1000) / madeMs),
    ...cpuSeconds('to make them', cpuFirst, cpuMade),
    ...labelledMemory('before', memoryFirst),
    ...labelledMemory('right after', memoryMade),
    ...labelledMemory('after the quiet minute', memoryAfter),
    ...cpuSeconds('in the quiet minute', cpuQuiet, cpuAfter),
    'history events added in the quiet minute': eventsAfter - eventsBefore,
    'sandboxes, before and after it': `${handsBefore}, ${handsAfter}`,
    'a result, send to idle': figures(latencies),
  };
}

async function makeSessions(client: Anthropic): Promise<string[]> {
  const made = await makeAgent(client, [LOOKUP]);
  const ids: string[] = [];
  const makeSome = async (): Promise<void> => {
    for (let left = SESSIONS / AT_ONCE; left > 0; left -= 1) {
      const { id } = await client.beta.sessions.create(made);
      await runTurn(client, id, SCRIPT);
      ids.push(id);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, makeSome));
  return ids;
}

/** Processes of sandboxes: each names its folder in the data dir. */
async function countHands({ dataDir }: Server): Promise<number> {
  const pids = await pidsWhere((args) => args.some((arg) => arg.startsWith(`${dataDir}/hands/`)));
  return pids.length;
}

async function countHistory(server: Server, sessions: readonly string[]): Promise<number> {
  const connection = await connectTemporal(`127.0.0.1:${await server.port('temporal')}`);
  try {
    const client = new Client({ connection, namespace: 'drover' });
    let events = 0;
    for (const id of sessions) events += (await client.workflow.getHandle(id).describe()).historyLength;
    return events;
  } finally {
    await connection.close();
  }
}

function pick<T>(all: readonly T[], count: number): T[] {
  const left = [...all];
  return Array.from({ length: count }, () => left.splice(Math.floor(Math.random() * left.length), 1)).flat();
}

/** From the call of `send` with the result to the end of the turn. */
async function answer(client: Anthropic, id: string): Promise<number> {
  const { data } = await client.beta.sessions.events.list(id, { types: ['agent.custom_tool_use'] });
  const stream = await client.beta.sessions.events.stream(id);
  const start = performance.now();
  await client.beta.sessions.events.send(id, {
    events: [
      {
        type: 'user.custom_tool_result',
        custom_tool_use_id: data[0]?.id ?? '',
        content: [{ type: 'text', text: 'it' }],
      },
    ],
  });
  for await (const event of stream) if (event.type === 'session.status_idle') break;
  stream.controller.abort();
  return performance.now() - start;
}
