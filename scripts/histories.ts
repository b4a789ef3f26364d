/**
 * `npm run histories -- talk tools`: records the histories that CI replays, one of each kind of session that is named, into
 * `test/histories/`. To be run when a kind of session is added, never to make a replay agree again (docs/adr/0024).
 */
import Anthropic from '@anthropic-ai/sdk';
import { Client } from '@temporalio/client';
import type { AgentCreateParams } from '@anthropic-ai/sdk/resources/beta/agents/agents';
import type { BetaManagedAgentsEventParams } from '@anthropic-ai/sdk/resources/beta/sessions/events';
import type { SessionCreateParams } from '@anthropic-ai/sdk/resources/beta/sessions/sessions';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fetchRuns } from '../src/engine/temporal/replay.ts';
import { script } from '../src/model/directives.ts';
import { connectTemporal } from '../src/temporal-server/connection.ts';
import { startServer, type Server } from './server.ts';

const FOLDER = fileURLToPath(new URL('../test/histories', import.meta.url));
const WITHIN_MS = 60_000;
const LOOK_AGAIN_MS = 50;
const COMMAND_BEGINS_MS = 2000;
/** Runs are short, so that histories are, and every kind has seen the end of one. */
const ENV = {
  DROVER_ENGINE: 'temporal',
  DROVER_RUN_EVENTS: '60',
  DROVER_SANDBOX: 'bubblewrap',
  DROVER_MODEL_RETRY_BASE_MS: '20',
  DROVER_COMPACT_AT: '4000',
};

const TOOLS: AgentCreateParams['tools'] = [
  { type: 'custom', name: 'lookup', description: 'Looks up.', input_schema: { type: 'object' } },
  {
    type: 'agent_toolset_20260401',
    configs: [{ name: 'write', permission_policy: { type: 'always_ask' } }],
  },
];

const bash = (command: string) => ({ call: 'bash', input: { command } });

/** A session that is being recorded. */
interface Subject {
  readonly id: string;
  readonly server: Server;
  readonly client: Anthropic;
  readonly temporal: Client;
  send(...events: BetaManagedAgentsEventParams[]): Promise<void>;
  say(text: string): Promise<void>;
  /** Says something and waits until the session is at rest again. */
  turn(text: string): Promise<void>;
  rest(): Promise<void>;
  /** Waits until an event of a type is in the log; answers its id. */
  has(type: string): Promise<string>;
}

interface Kind {
  readonly params?: Partial<SessionCreateParams>;
  readonly live: (subject: Subject) => Promise<void>;
}

const KINDS: Readonly<Record<string, Kind>> = {
  talk: {
    async live({ turn }) {
      for (let index = 0; index < 6; index += 1) await turn(script({ say: `turn ${index}` }));
    },
  },
  tools: {
    async live({ turn }) {
      await turn(script({ calls: [bash('echo one'), bash('echo two')] }, bash('false'), { say: 'done' }));
      await turn(script(bash('echo three'), { say: 'done' }));
    },
  },
  waiting: {
    async live({ turn, send, has, rest }) {
      const write = { call: 'write', input: { file_path: '/workspace/f', content: 'x' } };
      await turn(script({ calls: [{ call: 'lookup', input: {} }, write] }, { say: 'told' }));
      const content = [{ type: 'text' as const, text: 'found' }];
      const custom_tool_use_id = await has('agent.custom_tool_use');
      const tool_use_id = await has('agent.tool_use');
      await send({ type: 'user.custom_tool_result', custom_tool_use_id, content });
      await send({ type: 'user.tool_confirmation', tool_use_id, result: 'allow' });
      await rest();
    },
  },
  interrupted: {
    async live({ say, send, has, rest, turn }) {
      await say(script(bash('sleep 600'), { say: 'never' }));
      await has('agent.tool_use');
      await sleep(COMMAND_BEGINS_MS);
      await send({ type: 'user.interrupt' });
      await rest();
      await turn(script({ say: 'after' }));
    },
  },
  overtaken: {
    async live({ send, rest, turn }) {
      const text = script({ say: 'never' });
      await send({ type: 'user.message', content: [{ type: 'text', text }] }, { type: 'user.interrupt' });
      await rest();
      await turn(script({ say: 'after' }));
    },
  },
  failing: {
    async live({ turn }) {
      await turn(script({ fail: 529, times: 2 }, { say: 'at last' }));
      await turn(script({ fail: 'error', type: 'invalid_request_error', times: 1 }, { say: 'never' }));
    },
  },
  budget: {
    params: { budget: { type: 'limit', max_list_cost: { amount: '1', currency: 'USD' } } },
    async live({ id, client, turn, rest }) {
      await turn(`${script({ say: 'one' }, { say: 'two' })}\n${'many words '.repeat(3000)}`);
      await turn('more');
      await client.beta.sessions.update(id, { budget: null, title: 'more to spend' });
      await sleep(500);
      await rest();
    },
  },
  compacted: {
    async live({ turn }) {
      await turn(`${script({ say: 'one' })}\n${'many words '.repeat(3000)}`);
      await turn(script({ say: 'two' }));
    },
  },
  archived: {
    async live({ id, client, turn }) {
      await turn(script(bash('echo one'), { say: 'done' }));
      await client.beta.sessions.archive(id);
    },
  },
  moved: {
    async live({ id, client, turn }) {
      await turn(script(bash('echo one'), { say: 'done' }));
      for (const to of ['log', 'temporal']) await client.post(`/v1/x/sessions/${id}/move`, { body: { to } });
      await turn(script(bash('echo two'), { say: 'done' }));
    },
  },
  terminated: {
    async live({ id, temporal, turn }) {
      await turn(script(bash('echo one'), { say: 'done' }));
      await temporal.workflow.getHandle(id).terminate('recorded');
      await turn(script(bash('echo two'), { say: 'done' }));
    },
  },
  'worker lost': {
    async live({ server, say, send, has, rest, turn }) {
      await say(script(bash('sleep 600'), { say: 'never' }));
      await has('agent.tool_use');
      await sleep(COMMAND_BEGINS_MS);
      const killed = await server.pid('worker');
      process.kill(killed, 'SIGKILL');
      while ((await server.pid('worker')) === killed) await sleep(LOOK_AGAIN_MS);
      await send({ type: 'user.interrupt' });
      await rest();
      await turn(script({ say: 'after' }));
    },
  },
};

const kinds = Object.entries(KINDS).filter(([name]) => process.argv.includes(name, 2));
if (kinds.length === 0) throw new Error(`expected some of: ${Object.keys(KINDS).join(', ')}`);
const server = await startServer(ENV);
const connection = await connectTemporal(`127.0.0.1:${await server.port('temporal')}`);
try {
  const temporal = new Client({ connection, namespace: 'drover', identity: 'an operator' });
  const client = new Anthropic({ apiKey: server.apiKey, baseURL: server.url });
  for (const [name, kind] of kinds) await record(name, kind, { client, temporal });
} finally {
  await connection.close();
  await server.stop();
}

async function record(
  name: string,
  { params = {}, live }: Kind,
  { client, temporal }: Pick<Subject, 'client' | 'temporal'>,
): Promise<void> {
  const agent = await client.beta.agents.create({
    name: 'recorded',
    model: 'claude-sonnet-5',
    tools: TOOLS ?? [],
  });
  const environment = await client.beta.environments.create({ name });
  const { id } = await client.beta.sessions.create({
    agent: agent.id,
    environment_id: environment.id,
    title: name,
    ...params,
  });
  await live(createSubject(id, client, temporal));
  let count = 0;
  for await (const { history } of fetchRuns(temporal, id)) {
    count += 1;
    const file = join(FOLDER, `${name.replaceAll(' ', '-')}-${count}.json`);
    await writeFile(file, `${JSON.stringify(history, undefined, 1)}\n`);
  }
  process.stdout.write(`${name}: ${count} runs\n`);
}

function createSubject(id: string, client: Anthropic, temporal: Client): Subject {
  async function until<T>(what: string, find: () => Promise<T | undefined>): Promise<T> {
    for (const deadline = Date.now() + WITHIN_MS; Date.now() < deadline; await sleep(LOOK_AGAIN_MS)) {
      const found = await find();
      if (found !== undefined) return found;
    }
    throw new Error(`not within ${WITHIN_MS} ms: ${what}`);
  }
  const send: Subject['send'] = async (...events) => {
    await client.beta.sessions.events.send(id, { events });
  };
  const rest: Subject['rest'] = () =>
    until('rest', async () => {
      const { data } = await client.beta.sessions.events.list(id, { limit: 1, order: 'desc' });
      return data[0]?.type === 'session.status_idle' || undefined;
    }).then(() => undefined);
  const say: Subject['say'] = (text) => send({ type: 'user.message', content: [{ type: 'text', text }] });
  return {
    id,
    server,
    client,
    temporal,
    send,
    say,
    rest,
    async turn(text) {
      await say(text);
      await rest();
    },
    has: (type) =>
      until(type, async () => {
        for await (const event of client.beta.sessions.events.list(id, { limit: 1000 }))
          if (event.type === type) return event.id;
        return undefined;
      }),
  };
}
