/**
 * `npm run demo`: the main job, end to end. The official SDK makes an agent, an environment and a session; Claude
 * writes a program in a sandbox and runs it; in the middle the worker process is killed; the session ends as if
 * nothing had happened.
 */
import Anthropic from '@anthropic-ai/sdk';
import process from 'node:process';
import { script } from '../src/model/directives.ts';
import { startServer, type Server } from './server.ts';

type StreamEvent = Anthropic.Beta.Sessions.BetaManagedAgentsStreamSessionEvents;

const PROGRAM = `def primes(limit):
    sieve = [True] * (limit + 1)
    for n in range(2, limit + 1):
        if sieve[n]:
            yield n
            for multiple in range(n * n, limit + 1, n):
                sieve[multiple] = False

print(sum(primes(1000)))
`;

/** What the scripted model is told to do. Claude needs no script: it would do this by itself. */
const SCRIPT = [
  { say: 'I will write a program that sums the primes up to 1000, and run it.' },
  { call: 'write', input: { file_path: '/workspace/primes.py', content: PROGRAM } },
  { say: 'Now I run it. It takes a few seconds, and notes each run in a log.' },
  {
    call: 'bash',
    input: {
      command:
        "cd /workspace && echo run >> runs.log && sleep 4 && (python3 primes.py || awk 'BEGIN{s=0;for(n=2;n<=1000;n++){p=1;for(d=2;d*d<=n;d++)if(n%d==0){p=0;break}if(p)s+=n}print s}')",
    },
  },
  { call: 'bash', input: { command: 'wc -l < /workspace/runs.log' } },
  { say: 'The program ran exactly this many times: {{result}}. The sum is the number printed above.' },
];

const scripted = !process.env['ANTHROPIC_API_KEY'] && !process.env['ANTHROPIC_BASE_URL'];
const TASK =
  'Write a Python program that sums the primes up to 1000. Before it computes, it must append a line to runs.log and sleep 4 seconds. Run it once with bash, then tell me the sum and how many lines runs.log has.';
const MODEL = process.env['DROVER_DEMO_MODEL'] ?? 'claude-sonnet-5';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

say(
  'Starting Drover: Temporal, credential proxy, worker, API. The first start builds what it needs; progress is shown.',
);
const server = await startServer();
try {
  await demo(server);
} finally {
  await server.stop();
}

async function demo(server: Server): Promise<void> {
  const client = new Anthropic({ apiKey: server.apiKey, baseURL: server.url });

  say('\n1. The official SDK, with only the base URL changed, makes an agent, an environment and a session.');
  const agent = await client.beta.agents.create({
    name: 'Programmer',
    model: MODEL,
    system: 'You are a careful programmer.',
    tools: [{ type: 'agent_toolset_20260401' }],
  });
  const environment = await client.beta.environments.create({ name: 'demo' });
  const session = await client.beta.sessions.create({
    agent: agent.id,
    environment_id: environment.id,
    title: 'Sum of primes',
  });
  say(`   ${agent.id}  ${environment.id}  ${session.id}`);

  say('\n2. It sends a message and streams the events.');
  const stream = await client.beta.sessions.events.stream(session.id);
  const text = scripted ? script(...SCRIPT) : TASK;
  await client.beta.sessions.events.send(session.id, {
    events: [{ type: 'user.message', content: [{ type: 'text', text }] }],
  });

  let killedAt: number | undefined;
  let recoveredAt: number | undefined;
  const streamed = new Map<string, string>();
  for await (const event of stream) {
    if ('id' in event) streamed.set(event.id, event.type);
    show(event);
    if (killedAt !== undefined && event.type === 'agent.tool_result') recoveredAt ??= performance.now();
    if (killedAt === undefined && event.type === 'agent.tool_use' && event.name === 'bash') {
      killedAt = await killWorker(server);
    }
    if (event.type === 'session.status_idle') break;
  }

  say('\n3. What the session looks like afterwards.');
  const events: string[] = [];
  for await (const event of client.beta.sessions.events.list(session.id)) events.push(event.id);
  const { status, usage } = await client.beta.sessions.retrieve(session.id);
  const missing = events.filter((id) => !streamed.has(id));
  say(
    `   status ${status}; ${events.length} events in the list, each once: ${new Set(events).size === events.length}`,
  );
  say(`   events that the stream did not show: ${missing.length}`);
  say(
    `   worker killed in the middle of a command that sleeps 4 s; its result came ${seconds(killedAt, recoveredAt)} later`,
  );
  say(
    `   tokens: ${usage.input_tokens} in, ${usage.output_tokens} out, ${usage.cache_read_input_tokens} from the prompt cache`,
  );

  const ui = `http://127.0.0.1:${await server.port('temporalUi')}/namespaces/drover/workflows/${session.id}`;
  say('\n4. Look at it.');
  say(`   Temporal UI of this session (while the demo runs): ${ui}`);
  say('   Your own server: npm start. Then point your SDK at it:');
  say("     new Anthropic({ apiKey: '<the key that npm start prints>', baseURL: 'http://127.0.0.1:8787' })");
  say('     ANTHROPIC_BASE_URL=http://127.0.0.1:8787 ANTHROPIC_API_KEY=<key> python your_agent.py');
  if (scripted)
    say('   This was the bundled scripted model. With ANTHROPIC_API_KEY set, the demo asks Claude.');
  if (process.stdin.isTTY) await untilEnter();
}

/** SIGKILL: no goodbye. The supervisor starts another worker, Temporal gives it the work. */
async function killWorker(server: Server): Promise<number> {
  // The command has begun when its first line is written; a second is ample for that.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const pid = await server.pid('worker');
  process.kill(pid, 'SIGKILL');
  say(`   *** worker process ${pid} killed with SIGKILL while the command runs ***`);
  return performance.now();
}

function show(event: StreamEvent): void {
  say(`   ${event.type.padEnd(32)} ${detail(event)}`.trimEnd());
}

function detail(event: StreamEvent): string {
  switch (event.type) {
    case 'agent.message':
      return oneLine(event.content.map((block) => ('text' in block ? block.text : '')).join(' '));
    case 'agent.tool_use':
      return oneLine(`${event.name} ${JSON.stringify(event.input)}`);
    case 'agent.tool_result':
      return oneLine(
        (event.content ?? []).map((block) => ('text' in block ? block.text : `[${block.type}]`)).join(' '),
      );
    case 'session.status_idle':
      return event.stop_reason.type;
    case 'session.error':
      return oneLine(event.error.message);
    default:
      return '';
  }
}

function oneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ');
  return line.length > 90 ? `${line.slice(0, 89)}…` : line;
}

function seconds(from: number | undefined, to: number | undefined): string {
  return from === undefined || to === undefined ? 'never' : `${((to - from) / 1000).toFixed(1)} s`;
}

async function untilEnter(): Promise<void> {
  say('\nPress Enter to stop the server and end the demo.');
  await new Promise((resolve) => process.stdin.once('data', resolve));
  process.stdin.pause();
}
