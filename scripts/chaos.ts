/**
 * `npm run chaos`: real processes are killed and stopped at random while clients hold conversations with the official
 * SDK; then a judge that knows nothing of the server's inside says what was lost, doubled or done twice.
 *
 *     npm run chaos -- --kills 500 --seed 1                 200 sessions, both engines, SQLite: docs/chaos.md
 *     npm run chaos -- --kills 40 --sessions 16 --on temporal-sqlite    a short one, which writes nothing
 *     npm run chaos -- --kills 40 --sessions 16 --sandbox docker        the same in containers
 *
 * The kills come one upon the other; then `--apart 60` more come one by one, to see how long each is felt. `--on` names
 * candidates as `npm run compare` does, by commas; `--run-events 120`: how long runs of workflows become, or segments.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { KILL_ACTS, type KillAct, type KillPointName } from '../src/kill-point.ts';
import { CANDIDATES, type Candidate, type CandidateName } from './compare/candidates.ts';
import { ensureDockerd } from './dockerd.ts';
import { describeCommit, describeMachine } from './compare/machine.ts';
import { startModel } from './compare/model.ts';
import { distributionOf, seededRandom } from './compare/statistics.ts';
import { startSubject, type Part, type ServerSubject } from './compare/subject.ts';
import { attack, type Attack } from './chaos/attack.ts';
import { converse, TURN_KINDS, type Conversation } from './chaos/client.ts';
import { SANDBOX_KINDS, watchSandboxes, type Sandboxes, type SandboxKind } from './chaos/hands.ts';
import { judge, SPOTLESS, type Tallies, type Verdict } from './chaos/judge.ts';
import { toPage, type Section } from './chaos/page.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '500' },
    apart: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    sessions: { type: 'string', default: '200' },
    abreast: { type: 'string', default: '12' },
    turns: { type: 'string', default: '4' },
    workers: { type: 'string', default: '2' },
    'gap-ms': { type: 'string', default: '1200' },
    'run-events': { type: 'string' },
    on: { type: 'string', default: 'temporal-sqlite,log-sqlite' },
    sandbox: { type: 'string', default: 'bubblewrap' },
    write: { type: 'boolean', default: false },
  },
});

const PAGE = new URL('../docs/chaos.md', import.meta.url);
const SANDBOX_SHARE = 0.15;
/** Conversations while kills come one by one: what is measured is how long one is felt, not how busy the machine is. */
const ABREAST_APART = 4;
/** Seconds. What conversations that are over leave behind is suspended, or fills the memory. */
const HAND_IDLE = '15';
/** After the last kill, everything has so long to come to its end. */
const SETTLED_WITHIN_MS = 180_000;
/** So that each conversation goes through several runs, or segments. */
const RUN_EVENTS: Readonly<Record<Candidate['engine'], string>> = { none: '', temporal: '150', log: '30' };
/** Nothing is moved, woken or forked here, and harnesses write on one engine only. */
const NOT_PASSED: Readonly<Record<Candidate['engine'], readonly KillAct[]>> = {
  none: KILL_ACTS,
  temporal: ['append', 'revive', 'bear', 'move'],
  log: ['revive', 'bear', 'move'],
};
const ANSWER_WITHIN_MS = 10_000;
const LOOKUP = {
  type: 'custom',
  name: 'lookup',
  description: 'Looks up.',
  input_schema: { type: 'object' },
} as const;

/** What came of one candidate. */
interface Outcome {
  readonly name: string;
  readonly sessions: number;
  readonly tookMs: number;
  readonly attacks: readonly Attack[];
  /** What followed, each when the one before was felt no more. */
  readonly apart: readonly Attack[];
  readonly verdict: Verdict;
  readonly tallies: Tallies;
  readonly requests: number;
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const count = (name: 'kills' | 'apart' | 'seed' | 'sessions' | 'abreast' | 'turns' | 'gap-ms'): number => {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < 0) throw new Error(`--${name}: expected a whole number`);
  return value;
};

/** As it is asked for. */
function readSandboxKind(): SandboxKind {
  const found = SANDBOX_KINDS.find((kind) => kind === values.sandbox);
  if (!found) throw new Error(`--sandbox: expected one of ${SANDBOX_KINDS.join(', ')}`);
  return found;
}

const sandbox = readSandboxKind();
if (sandbox === 'docker') {
  const problem = await ensureDockerd({ log: say });
  if (problem !== undefined) throw new Error(problem);
}
for (const name of values.on.split(',')) {
  const outcome = await run(name as CandidateName);
  const section = toSection(outcome);
  process.stdout.write(`## ${section.title}\n\n${section.text}\n`);
  if (values.write)
    await writeFile(PAGE, toPage(await readFile(PAGE, 'utf8').catch(() => ''), await signed(section)));
  if (isSpotted(outcome.verdict)) process.exitCode = 1;
}

async function run(name: CandidateName): Promise<Outcome> {
  const candidate = CANDIDATES[name];
  if (candidate?.env === undefined) throw new Error(`--on: there is no server "${name}"`);
  const folder = await mkdtemp(join(tmpdir(), 'drover-chaos-'));
  const pointFile = join(folder, 'point');
  const model = await startModel();
  try {
    const subject = await startSubject(candidate, {
      modelUrl: model.url,
      env: {
        DROVER_WORKERS: values.workers,
        DROVER_RUN_EVENTS: values['run-events'] ?? RUN_EVENTS[candidate.engine],
        DROVER_KILL_POINTS: pointFile,
        DROVER_SANDBOX: sandbox,
        DROVER_HAND_IDLE: HAND_IDLE,
      },
      onLine: () => undefined,
    });
    const sandboxes = watchSandboxes(subject.dataDir, sandbox);
    try {
      if (subject.kind !== 'server') throw new Error(`--on: there is no server "${name}"`);
      say(`${name}: ${values.kills} kills, seed ${values.seed}`);
      return await assault(subject, { model, sandboxes, pointFile });
    } finally {
      await subject.stop();
      await sandboxes.remove();
    }
  } finally {
    await model.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** What is beside the server. */
interface Around {
  readonly model: { countRequests(): Promise<number> };
  readonly sandboxes: Sandboxes;
  readonly pointFile: string;
}

async function assault(subject: ServerSubject, { model, sandboxes, pointFile }: Around): Promise<Outcome> {
  const { name, engine } = subject.candidate;
  const random = seededRandom(count('seed'));
  const client = subject.client.withOptions({ timeout: ANSWER_WITHIN_MS, maxRetries: 0 });
  const conversations: Conversation[] = [];
  let begun = 0;
  let isApart = false;
  const patience = new AbortController();
  const over = new AbortController();
  const made = await makeAgent(subject);
  const startMs = performance.now();

  /** One conversation after the other, until there have been enough and the killing is over. */
  async function keepTalking(place: number): Promise<void> {
    while (!patience.signal.aborted && (begun < count('sessions') || !over.signal.aborted)) {
      if (isApart && place >= ABREAST_APART && begun >= count('sessions')) return;
      const number = begun;
      begun += 1;
      const kinds = Array.from(
        { length: count('turns') },
        () => TURN_KINDS[Math.floor(random() * TURN_KINDS.length)] ?? 'tool',
      );
      const session = await patiently(
        async () => (await client.beta.sessions.create(made)).id,
        patience.signal,
      );
      if (session === undefined) return;
      const { conversation, done } = converse(client, session, { number, kinds, patience: patience.signal });
      conversations.push(conversation);
      await done;
    }
  }

  const talking = Promise.all(Array.from({ length: count('abreast') }, (_, place) => keepTalking(place)));
  talking.catch(() => undefined);
  await pause(5000);
  const target = {
    conversations,
    pointFile,
    points: pointsOf(engine),
    async parts(): Promise<readonly Part[]> {
      const sandbox = random() < SANDBOX_SHARE ? await sandboxes.pick(random) : undefined;
      return sandbox ? [sandbox] : await subject.parts();
    },
    pidOf: async ({ name: part }: Part) =>
      await readFile(join(subject.dataDir, 'run', `${part}.pid`), 'utf8').then(Number, () => undefined),
  };
  const how = { meanGapMs: count('gap-ms'), random, log: say };
  const attacks = await attack(target, { ...how, kills: count('kills'), isOneByOne: false });
  isApart = true;
  say(`${name}: one by one`);
  const apart = await attack(target, { ...how, kills: count('apart'), isOneByOne: true });
  over.abort();
  const timer = setTimeout(() => patience.abort(), SETTLED_WITHIN_MS);
  await talking;
  clearTimeout(timer);
  say(`${name}: judging ${conversations.length} sessions`);
  await Promise.all(conversations.map(({ following }) => following.stop()));
  const requests = await model.countRequests();
  const evidence = { marks: await sandboxes.marks(), attacks: [...attacks, ...apart], requests };
  const { verdict, tallies, details } = await judge(subject.client, conversations, evidence);
  for (const detail of details.slice(0, 20)) say(`  ${detail}`);
  return {
    name,
    sessions: conversations.length,
    tookMs: performance.now() - startMs,
    attacks,
    apart,
    verdict,
    tallies,
    requests,
  };
}

function pointsOf(engine: Candidate['engine']): KillPointName[] {
  const acts = KILL_ACTS.filter((act) => !NOT_PASSED[engine].includes(act));
  return acts.flatMap((act) => [`before ${act}`, `after ${act}`] as const);
}

async function makeAgent({ client }: ServerSubject): Promise<{ agent: string; environment_id: string }> {
  const tools = [LOOKUP, { type: 'agent_toolset_20260401' as const }];
  const agent = await client.beta.agents.create({
    name: 'chaos',
    model: 'claude-sonnet-5',
    tools: [...tools],
  });
  const environment = await client.beta.environments.create({ name: 'chaos' });
  return { agent: agent.id, environment_id: environment.id };
}

async function patiently<T>(ask: () => Promise<T>, patience: AbortSignal): Promise<T | undefined> {
  while (!patience.aborted) {
    try {
      return await ask();
    } catch {
      await pause(200);
    }
  }
  return undefined;
}

function isSpotted(verdict: Verdict): boolean {
  return JSON.stringify(verdict) !== JSON.stringify(SPOTLESS);
}

function toSection(outcome: Outcome): Section {
  const { name, sessions, tookMs, attacks, apart, verdict, tallies, requests } = outcome;
  const kills = attacks.length + apart.length;
  const verdicts = Object.entries(verdict).map(([key, value]) => `| ${key} | ${value} |`);
  const lines = [
    `${kills} kills in ${Math.round(tookMs / 1000)} s over ${sessions} sessions: ${tallies.events} events, ${tallies.toolUses} tool calls, ${tallies.unknown} of them answered by an error because their sandbox was killed; ${requests} model requests in ${tallies.spans} steps for ${tallies.answers} answers.`,
    '',
    '| judged | found |',
    '|---|---|',
    ...verdicts,
    '',
    ...toTable(`${attacks.length} of them one upon the other`, attacks),
    ...toTable(`${apart.length} of them one by one`, apart),
  ];
  return { title: `${name}, ${sandbox}`, text: lines.join('\n') };
}

/** How long attacks were felt: by each session that was at work, and by the one that felt it longest. */
function toTable(title: string, attacks: readonly Attack[]): string[] {
  if (attacks.length === 0) return [];
  const kinds = [...new Set(attacks.map(({ kind, blow }) => `${kind} ${blow}`))].sort();
  const rows = kinds.map((key) => {
    const own = attacks.filter(({ kind, blow }) => `${kind} ${blow}` === key);
    const slowest = own.flatMap(({ waitsMs }) => (waitsMs.length > 0 ? [Math.max(...waitsMs)] : []));
    const each = own.flatMap(({ waitsMs }) => waitsMs);
    return `| ${key} | ${own.length} | ${percentiles(each)} | ${percentiles(slowest)} |`;
  });
  return [
    `${title}; from each to the next event of a session at work, and of the slowest of these:`,
    '',
    '| hit | times | p50 | p95 | slowest, p50 | p95 |',
    '|---|---|---|---|---|---|',
    ...rows,
    '',
  ];
}

function percentiles(times: readonly number[]): string {
  const { p50 = Number.NaN, p95 = Number.NaN } = distributionOf(times) ?? {};
  return `${seconds(p50)} | ${seconds(p95)}`;
}

function seconds(ms: number): string {
  return Number.isFinite(ms) ? `${(ms / 1000).toFixed(1)} s` : 'none';
}

/** Says how it was made. */
async function signed({ title, text }: Section): Promise<Section> {
  const { cpu, cores, memoryGiB, system } = await describeMachine();
  const machine = `${cores} cores of ${cpu}, ${memoryGiB} GiB, ${system}`;
  const made = `Made by \`npm run chaos -- ${process.argv.slice(2).join(' ')}\` on ${new Date().toISOString().slice(0, 10)}, on ${machine}; commit ${await describeCommit()}.`;
  return { title, text: `${made}\n\n${text}` };
}
