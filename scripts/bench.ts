/** `npm run bench [-- name …]`: runs the benchmarks, prints p50 and p95, and writes the figures as JSON. */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, loadavg, totalmem } from 'node:os';
import process from 'node:process';
import { SCENARIOS } from './bench/scenarios.ts';
import type { Figures, Result } from './bench/measure.ts';

const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in SCENARIOS));
if (unknown.length > 0) {
  process.stderr.write(`unknown: ${unknown.join(', ')}; there are: ${Object.keys(SCENARIOS).join(', ')}\n`);
  process.exit(2);
}

const results: Record<string, Result> = {};
const startLoad = loadavg()[0];
for (const [name, scenario] of Object.entries(SCENARIOS)) {
  if (names.length > 0 && !names.includes(name)) continue;
  process.stdout.write(`\n${name}: ${scenario.about}\n`);
  const result = await scenario.run();
  results[name] = result;
  for (const [what, figure] of Object.entries(result))
    process.stdout.write(`  ${what.padEnd(46)} ${show(figure)}\n`);
}

const machine = {
  date: new Date().toISOString(),
  node: process.version,
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  loadAtStart: startLoad,
};
await mkdir('bench-results', { recursive: true });
const path = `bench-results/${machine.date.replaceAll(':', '-')}.json`;
await writeFile(path, `${JSON.stringify({ machine, results }, undefined, 2)}\n`);
process.stdout.write(`\nwritten to ${path}\n`);

function show(figure: Figures | number | string): string {
  if (typeof figure !== 'object') return String(figure);
  const { p50, p95, min, max, runs } = figure;
  return `p50 ${p50}  p95 ${p95}  (min ${min}, max ${max}, ${runs} runs)`;
}
