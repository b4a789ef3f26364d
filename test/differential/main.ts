/** `npm run differential`: the same conversations on two servers; their logs must be the same, event by event. */
import process from 'node:process';
import { parseArgs } from 'node:util';
import { makeConversation } from './generate.ts';
import { readSide, showConversation, showFinding, showReport } from './print.ts';
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

const write = (text: string): void => void process.stdout.write(`${text}\n`);
const seed = Number(values.seed);
const indexes =
  values.only === undefined
    ? Array.from({ length: Number(values.conversations) }, (_, index) => index)
    : values.only.split(',').map(Number);
const MOST_SHOWN = 10;
const PROGRESS_EVERY = 50;

if (values.only !== undefined || values.print)
  for (const index of indexes) write(showConversation(makeConversation(seed, index)));
if (!values.print) {
  let shown = 0;
  const options: RunOptions = {
    seed,
    indexes,
    left: readSide(values.left),
    right: readSide(values.right),
    abreast: Number(values.abreast),
    checkInvariants: values.invariants,
    onFinding(finding) {
      shown += 1;
      if (shown <= MOST_SHOWN) write(showFinding(finding, options));
    },
    onProgress(done) {
      if (done % PROGRESS_EVERY === 0) process.stderr.write(`${done} of ${indexes.length}\n`);
    },
  };
  const report = await runDifferential(options);
  write(showReport(report, options));
  process.exitCode = report.findings.length > 0 ? 1 : 0;
}
