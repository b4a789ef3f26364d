/** How quickly an interrupt ends a turn, and whether what the turn was at has ended by then. */
import type Anthropic from '@anthropic-ai/sdk';
import { Client } from '@temporalio/client';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as pause } from 'node:timers/promises';
import { script } from '../../src/model/directives.ts';
import { connectTemporal } from '../../src/temporal-server/connection.ts';
import type { Server } from '../server.ts';
import {
  clientOf,
  figures,
  makeAgent,
  runTurn,
  warmUp,
  withServer,
  type Result,
  type Scenario,
} from './measure.ts';
import { isAlive, pidsWhere } from './processes.ts';

const RUNS = 20;
/** An operation is left alone for a while, and interrupted at any moment of a second: heartbeats are a second apart. */
const SETTLED_MS = 200;
const SPREAD_MS = 1000;
const LOOK_EVERY_MS = 5;
const PATIENCE_MS = 30_000;

/** `interrupts`. */
export const interrupts: Scenario = {
  about: 'an interrupt during a model request of a minute, and during a command of a minute',
  run: () =>
    withServer({ DROVER_SANDBOX: 'bubblewrap' }, async (server) => {
      await warmUp(server);
      return { ...(await inModelRequests(server)), ...(await inCommands(server)) };
    }),
};

/**
 * That nothing runs any more is seen from outside: Temporal has no activity of the session open, the proxy has noted
 * that its request to the model was given up, and the session's next turn takes as long as any other.
 */
async function inModelRequests(server: Server): Promise<Result> {
  const client = clientOf(server);
  const made = await makeAgent(client);
  const [idle, givenUp, next]: [number[], number[], number[]] = [[], [], []];
  let open = 0;
  for (let run = 0; run < RUNS; run += 1) {
    const { id } = await client.beta.sessions.create(made);
    // An answer before the one that is interrupted keeps this script apart from the next.
    const steps = [{ say: id }, { stop: 'pause_turn' }, { delayMs: 60_000 }, { say: 'too late' }];
    const interrupt = await begin(client, id, steps);
    await eventually('the second request', async () => (await countModelRequests(server, id)) === 2);
    const { sentAtMs, idleMs } = await interrupt();
    idle.push(idleMs);
    open += await countActivities(server, id);
    givenUp.push((await eventually('the end of the request', () => givenUpAtMs(server, id))) - sentAtMs);
    next.push((await runTurn(client, id, script([{ say: 'next' }]))).idleMs);
  }
  return {
    'in a model request, interrupt to idle': figures(idle),
    'in a model request, interrupt to its end': figures(givenUp),
    'activities still open after idle': open,
    'the next turn, send to idle': figures(next),
  };
}

async function inCommands(server: Server): Promise<Result> {
  const client = clientOf(server);
  const made = await makeAgent(client);
  const [idle, gone]: [number[], number[]] = [[], []];
  for (let run = 0; run < RUNS; run += 1) {
    const { id } = await client.beta.sessions.create(made);
    // The fraction tells the command apart from every other one on the machine.
    const seconds = `60.${process.pid}${run}`;
    const call = { call: 'bash', input: { command: `sleep ${seconds}` } };
    const interrupt = await begin(client, id, [call, { say: 'too late' }]);
    const pid = await eventually('the command', async () => (await pidsWhere(isSleep(seconds)))[0]);
    const [{ sentAtMs, idleMs }, goneAtMs] = await Promise.all([interrupt(), endOf(pid)]);
    idle.push(idleMs);
    gone.push(goneAtMs - sentAtMs);
  }
  return {
    'in a command, interrupt to idle': figures(idle),
    'in a command, interrupt to the end of its process': figures(gone),
  };
}

interface Interrupted {
  readonly sentAtMs: number;
  readonly idleMs: number;
}

/** Sends a message; what it answers interrupts the turn at some moment, and waits for the idle. */
async function begin(
  client: Anthropic,
  id: string,
  steps: readonly object[],
): Promise<() => Promise<Interrupted>> {
  const stream = await client.beta.sessions.events.stream(id);
  const { events } = client.beta.sessions;
  await events.send(id, {
    events: [{ type: 'user.message', content: [{ type: 'text', text: script(...steps) }] }],
  });
  return async () => {
    await pause(SETTLED_MS + Math.random() * SPREAD_MS);
    const [start, sentAtMs] = [performance.now(), Date.now()];
    await events.send(id, { events: [{ type: 'user.interrupt' }] });
    for await (const event of stream) if (event.type === 'session.status_idle') break;
    const idleMs = performance.now() - start;
    stream.controller.abort();
    return { sentAtMs, idleMs };
  };
}

async function countModelRequests(server: Server, containing: string): Promise<number> {
  const url = `http://127.0.0.1:${await server.port('model')}/x/requests?contains=${containing}`;
  const { data } = (await (await fetch(url)).json()) as { data: unknown[] };
  return data.length;
}

async function countActivities(server: Server, id: string): Promise<number> {
  const connection = await connectTemporal(`127.0.0.1:${await server.port('temporal')}`);
  try {
    const client = new Client({ connection, namespace: 'drover' });
    const { raw } = await client.workflow.getHandle(id).describe();
    return raw.pendingActivities?.length ?? 0;
  } finally {
    await connection.close();
  }
}

/** When the proxy gave a request of the session up, by its log. */
async function givenUpAtMs({ dataDir }: Server, id: string): Promise<number | undefined> {
  const lines = (await readFile(join(dataDir, 'logs', 'proxy.log'), 'utf8')).split('\n');
  const line = lines.find((one) => one.includes(`"session":"${id}"`) && one.includes('"client gone"'));
  const time = /"time":"([^"]+)"/.exec(line ?? '')?.[1];
  return time === undefined ? undefined : Date.parse(time);
}

function isSleep(seconds: string): (args: readonly string[]) => boolean {
  return (args) => args.at(0) === 'sleep' && args.at(1) === seconds;
}

async function endOf(pid: number): Promise<number> {
  await eventually('the end of the command', async () => !(await isAlive(pid)));
  return Date.now();
}

async function eventually<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await pause(LOOK_EVERY_MS);
  }
  throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
}
