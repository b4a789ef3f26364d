/** The worker dies while sessions wait: a client sees nothing of it, and its answer leads to the normal end. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { INTERRUPTED } from '../../src/loop.ts';
import { bash, listAll, script, toolResults } from '../support/crash-client.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../support/crash-server.ts';
import {
  answerOnce,
  bringToWait,
  checkEnd,
  look,
  type Scenario,
  type Sight,
  type Waiting,
} from '../support/crash-waiting.ts';
import { withProbe } from '../support/probe.ts';
import { isAlive } from '../support/process.ts';
import { message, resultOf, type Params } from '../support/turns.ts';

const RESUME = ['session.status_running', 'session.thread_status_running'];
const ANSWER = ['span.model_request_start', 'agent.message', 'span.model_request_end'];
const IDLE = ['session.thread_status_idle', 'session.usage', 'session.status_idle'];
/** Longer than a killed worker takes to be back on a busy machine. */
const RETRY_AFTER_S = 20;

const lookup = { call: 'lookup' };
const TOLD = { say: 'told: {{results}}' };

function confirmationOf(id = '', result: 'allow' | 'deny'): Params {
  return { type: 'user.tool_confirmation', tool_use_id: id, result };
}

const CUSTOM: Scenario = {
  script: [lookup, TOLD],
  answer: ([call]) => resultOf(call, 'found'),
  events: ['user.custom_tool_result', ...RESUME, ...ANSWER, ...IDLE],
  says: 'told: found',
};
const ALLOWED: Scenario = {
  script: [bash('echo it ran'), TOLD],
  answer: ([call]) => confirmationOf(call, 'allow'),
  events: [...RESUME, 'user.tool_confirmation', 'agent.tool_result', ...ANSWER, ...IDLE],
  says: 'told: it ran',
};

const KILLED: Readonly<Record<string, Scenario>> = {
  'for the result of a custom tool': CUSTOM,
  'for the second of two results': {
    ...CUSTOM,
    script: [{ calls: [lookup, lookup] }, TOLD],
    before: ([, second]) => resultOf(second, 'the other'),
    says: 'told: found\nthe other',
  },
  'for a confirmation that is then given': ALLOWED,
  'for a confirmation that is then refused': {
    ...ALLOWED,
    answer: ([call]) => confirmationOf(call, 'deny'),
    says: 'told: The user denied permission to run this tool.',
  },
  'for a message': {
    script: [{ say: 'first' }],
    answer: () => message(script({ say: 'second' })),
    events: [...RESUME, 'user.message', ...ANSWER, ...IDLE],
    says: 'second',
  },
  'for the next try after a 429': {
    script: [{ fail: 429, retryAfter: RETRY_AFTER_S, times: 1 }, { say: 'at last' }],
    until: 'session.status_rescheduled',
    events: [...RESUME, ...ANSWER, ...IDLE],
    says: 'at last',
  },
};

const ANSWERED_ALONE: Readonly<Record<string, Scenario>> = {
  'a result': CUSTOM,
  'a confirmation': ALLOWED,
  'an interrupt': {
    script: [lookup, TOLD],
    answer: () => ({ type: 'user.interrupt' }),
    events: ['user.interrupt', 'agent.tool_result', ...IDLE],
  },
};

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir);
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

/** A session of each scenario, by the scenario's name. */
async function bringAll(scenarios: Readonly<Record<string, Scenario>>): Promise<Map<string, Waiting>> {
  const all = new Map<string, Waiting>();
  for (const [name, scenario] of Object.entries(scenarios))
    all.set(name, await bringToWait(server, scenario));
  return all;
}

function of<T>(all: ReadonlyMap<string, T>, name: string): T {
  const one = all.get(name);
  if (one === undefined) throw new Error(`there is none: ${name}`);
  return one;
}

describe('the worker is killed while a session waits', () => {
  let all: Map<string, Waiting>;
  /** What there is to see when the next worker has taken the sessions over. */
  const after = new Map<string, Sight>();

  beforeAll(async () => {
    all = await bringAll(KILLED);
    await server.back(await server.kill('worker'));
    await withProbe(server, async (probe) => {
      for (const { id } of all.values()) await probe.looked(id);
    });
    for (const [name, waiting] of all) after.set(name, await look(server, waiting));
  });

  it.each(Object.entries(KILLED))('%s: nothing changes, and it goes on', async (name, scenario) => {
    const waiting = of(all, name);
    expect(of(after, name)).toEqual(waiting.sight);
    expect(waiting.sight.resource).toMatchObject({ status: scenario.until ? 'rescheduling' : 'idle' });
    expect(waiting.watched.broken).toBeUndefined();
    await answerOnce(server, waiting, scenario);
    await checkEnd(server, waiting, scenario);
  });
});

describe('no worker is there when a waiting session is sent', () => {
  let all: Map<string, Waiting>;
  let hadWorker = true;
  const seen = new Map<
    string,
    { readonly before: Sight; readonly sent: unknown; readonly listed: unknown[] }
  >();

  beforeAll(async () => {
    all = await bringAll(ANSWERED_ALONE);
    await server.without('worker', async () => {
      for (const [name, waiting] of all) {
        const before = await look(server, waiting);
        const sent = await answerOnce(server, waiting, ANSWERED_ALONE[name] ?? CUSTOM);
        seen.set(name, { before, sent, listed: await listAll(server.api, waiting.id) });
      }
      hadWorker = isAlive(await server.pid('worker'));
    });
  });

  it.each(Object.entries(ANSWERED_ALONE))(
    '%s: it is kept, and works once a worker is there',
    async (name, scenario) => {
      const waiting = of(all, name);
      const { before, sent, listed } = of(seen, name);
      expect(hadWorker).toBe(false);
      expect(before).toEqual(waiting.sight);
      expect(listed).toEqual([...before.listed, sent]);
      await checkEnd(server, waiting, scenario);
      if (name === 'an interrupt')
        expect(toolResults(await listAll(server.api, waiting.id))).toEqual([
          { text: INTERRUPTED, isError: true },
        ]);
    },
  );
});
