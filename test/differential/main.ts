/**
 * `npm run differential`: the same conversations on two servers; their logs must be the same, event by event.
 *
 *     npm run differential                                      1000 conversations of seed 1 on both engines
 *     npm run differential -- --conversations 100 --seed 7      fewer, and others
 *     npm run differential -- --seed 7 --only 17,18             these alone; their steps are printed first
 *     npm run differential -- --right "log postgres"            the log engine on a Postgres of its own
 *     npm run differential -- --right "temporal DROVER_STEERING=round"    a difference that must be found
 *
 * `--print` shows the conversations and plays nothing; `--abreast 4` plays so many at a time; `--invariants` holds
 * each log against the invariants as well.
 */
import process from 'node:process';
import { parseArgs } from 'node:util';
import { makeConversation } from './generate.ts';
import { readSide, showConversation, showFinding, showReport, showSeen } from './print.ts';
import { runDifferential, type RunOptions } from './run.ts';

const { values } = parseArgs({
  options: {
    conversations: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    left: { type: 'string', default: 'temporal' },
    right: { type: 'string', default: 'log' },
    only: { type: 'string' },
    abreast: { type: 'string', default: '12' },
    invariants: { type: 'boolean', default: false },
    print: { type: 'boolean', default: false },
  },
});

const MOST_SHOWN = 10;
const PROGRESS_EVERY = 50;

const write = (text: string): void => void process.stdout.write(`${text}\n`);

try {
  const seed = toNumber('seed', values.seed);
  const indexes =
    values.only === undefined
      ? Array.from({ length: toNumber('conversations', values.conversations) }, (_, index) => index)
      : values.only.split(',').map((index) => toNumber('only', index));
  if (values.only !== undefined || values.print)
    for (const index of indexes) write(showConversation(makeConversation(seed, index)));
  if (!values.print) await run({ seed, indexes });
} catch (error) {
  process.stderr.write(`differential: ${error instanceof Error ? error.message : String(error)}\n`);
  // What was broken off still waits for servers that are gone.
  process.exit(2);
}

async function run(what: Pick<RunOptions, 'seed' | 'indexes'>): Promise<void> {
  let found = 0;
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());
  const options: RunOptions = {
    ...what,
    signal: interrupted.signal,
    left: readSide(values.left),
    right: readSide(values.right),
    abreast: toNumber('abreast', values.abreast),
    checkInvariants: values.invariants,
    onFinding(finding) {
      found += 1;
      if (found <= MOST_SHOWN) write(showFinding(finding, options));
    },
    onProgress(done) {
      if (done % PROGRESS_EVERY === 0) process.stderr.write(`${done} of ${what.indexes.length}\n`);
    },
  };
  const report = await runDifferential(options);
  write(showSeen(report));
  write(showReport(report, options));
  process.exitCode = report.findings.length > 0 ? 1 : 0;
}

function toNumber(name: string, text: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`--${name}: expected a whole number, got "${text}"`);
  return Number(text);
}
