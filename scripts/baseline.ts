/**
 * `npm run baseline [-- --turns N]`: the plain SDK loop in one process, against the scripted model, with the tools in
 * a bubblewrap sandbox: what a turn costs, and what is lost when the process is killed.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { script } from '../src/model/directives.ts';
import { startProgram, type Program } from './baseline/process.ts';
import { figures, round, type Figures } from './bench/measure.ts';
import { createAsk } from './compare/latency.ts';
import { startModel, type Model } from './compare/model.ts';
import { handFolders } from './sandboxes.ts';

const WARM_UP_TURNS = 20;
/** One turn in so many is also made with a tool call. */
const TOOL_SHARE = 5;
const STARTED_WITHIN_MS = 30_000;

const { values } = parseArgs({ options: { turns: { type: 'string', default: '150' } } });
const turns = Number(values.turns);
if (!Number.isInteger(turns) || turns < 1) {
  process.stderr.write(`--turns: expected a whole number of at least 1, got "${values.turns}"\n`);
  process.exit(2);
}

const model = await startModel();
try {
  const program = await startProgram(model.url);
  try {
    await measure(program, model);
  } finally {
    await program.stop();
  }
} finally {
  await model.stop();
}

async function measure(program: Program, { url }: Model): Promise<void> {
  const other = await program.create();
  for (let turn = 0; turn < WARM_UP_TURNS; turn += 1) await program.turn(other, `warm up ${turn}`);

  const session = await program.create();
  const ask = await createAsk(url, Math.round(turns / 2));
  const plain: number[] = [];
  const first: number[] = [];
  const alone: number[] = [];
  for (let turn = 0; turn < turns; turn += 1) {
    const { idleMs, firstTextMs } = await program.turn(session, `hello ${turn}`);
    plain.push(idleMs);
    first.push(firstTextMs);
    // In turn, so that what else happens on the machine hits both alike.
    alone.push(await ask());
  }
  const direct = figures(alone);
  print(`${turns} plain turns of one session`);
  show('turn, call to end', figures(plain));
  show('call to first text', figures(first));
  show('the model alone, half-way', direct);
  show('overhead of a turn', figures(plain.map((ms) => ms - direct.p50)));

  const withTool: number[] = [];
  for (let turn = 0; turn < Math.ceil(turns / TOOL_SHARE); turn += 1) {
    const call = { call: 'bash', input: { command: `echo ${turn}` } };
    withTool.push((await program.turn(session, script(call, { say: 'ok' }))).idleMs);
  }
  print(`${withTool.length} turns with a bash call each, the first of which makes the sandbox`);
  show('turn, call to end', figures(withTool));
  await killInCommand(program, session);
}

/** What there was, what a kill leaves of it, and whether the command that ran was noticed by anybody. */
async function killInCommand(program: Program, session: string): Promise<void> {
  const messages = await program.countMessages(session);
  const call = { call: 'bash', input: { command: 'echo run >> runs.log; sleep 1; echo end >> runs.log' } };
  const turn = program.turn(session, script(call, { say: 'the end' })).then(
    () => 'ended',
    (error: unknown) => String(error),
  );
  const [folder = ''] = await handFolders(program.dataDir);
  const ran = async (): Promise<string> =>
    await readFile(join(folder, 'workspace', 'runs.log'), 'utf8').catch(() => '');
  await until('the command', async () => (await ran()) !== '');
  await program.kill();
  const outcome = await turn;
  const start = performance.now();
  await program.restart();
  await program.create();
  const backMs = performance.now() - start;
  const asked = await program.turn(session, 'Where were we?').then(
    () => 'goes on',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  await until('the end of the command', async () => (await ran()).includes('end'));
  print('SIGKILL in the middle of a command');
  line('the turn', outcome);
  line('the session, asked of the restarted program', asked);
  line('messages lost', `${messages} of ${messages}, and those of the turn that was under way`);
  line('the command', `ran to its end (${(await ran()).trim().replace('\n', ', ')}); nobody has its result`);
  line('sandboxes left that no process knows of', String(await program.countHands()));
  line('the program itself is back after', `${round(backMs)} ms`);
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + STARTED_WITHIN_MS; Date.now() < deadline;) {
    if (await isSo()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`not within ${STARTED_WITHIN_MS} ms: ${what}`);
}

function show(what: string, { p50, p95, min, max, runs }: Figures): void {
  line(what, `p50 ${p50}  p95 ${p95}  (min ${min}, max ${max}, ${runs} runs) ms`);
}

function line(what: string, found: string): void {
  process.stdout.write(`  ${what.padEnd(46)} ${found}\n`);
}

function print(title: string): void {
  process.stdout.write(`\n${title}\n`);
}
