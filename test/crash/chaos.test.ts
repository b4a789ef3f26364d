/** `npm run chaos` on a small scale: what kills at random, and a judge that looks from outside, leave nothing to say. */
import { execFile } from 'node:child_process';
import process from 'node:process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const candidate = process.env['DROVER_ENGINE'] === 'log' ? 'log-sqlite' : 'temporal-sqlite';
const SMALL = ['--kills', '16', '--apart', '4', '--sessions', '8', '--abreast', '6', '--seed', '11'];

it('kills at random, and finds nothing lost, doubled, or run twice', { timeout: 600_000 }, async () => {
  const args = ['--disable-warning=ExperimentalWarning', 'scripts/chaos.ts', ...SMALL, '--on', candidate];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args).catch((error: unknown) => {
    // What it has found stands on the page, and in what it says.
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`chaos ended with an error\n${stdout}\n${stderr}`, { cause: error });
  });
  process.stderr.write(stderr);
  const judged = [...stdout.matchAll(/^\| (?<what>\w+) +\| (?<found>\d+) +\|$/gm)].map(
    ({ groups }) => groups,
  );
  expect(judged.length).toBeGreaterThan(5);
  for (const one of judged) expect(one).toMatchObject({ found: '0' });
  expect(stdout).toMatch(/^20 kills in \d+ s over \d+ sessions: [1-9]/m);
});
