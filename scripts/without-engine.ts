/**
 * `node scripts/without-engine.ts temporal|log [vitest arguments]`: takes one engine's code out of a scratch copy of the
 * checkout and runs the server suite there with the other engine. So it shows that neither needs the other.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** What goes with each engine, and which project of the tests is then run. */
const ENGINES = {
  temporal: {
    code: ['workflows', 'activities', 'src/engine/temporal.ts', 'src/engine/temporal', 'src/temporal-server'],
    tests: 'server-log',
    needy: ['test/server/both'],
  },
  log: {
    code: ['src/engine/log.ts', 'src/engine/log'],
    tests: 'server',
    // The archive is in the tables of the log engine.
    needy: ['test/server/both', 'test/server/copies.test.ts'],
  },
} as const;

const [name, ...rest] = process.argv.slice(2);
if (name !== 'temporal' && name !== 'log') {
  process.stderr.write('usage: node scripts/without-engine.ts temporal|log [vitest arguments]\n');
  process.exit(2);
}
const { code, tests, needy } = ENGINES[name];
const copy = mkdtempSync(join(tmpdir(), `drover-without-${name}-`));
try {
  const files = execFileSync('git', ['ls-files', '-z'], { cwd: ROOT, encoding: 'utf8' });
  for (const file of files.split('\0').filter((path) => path !== '' && !isIn(path, [...code, ...needy]))) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(ROOT, file), join(copy, file));
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  process.stderr.write(`without ${code.join(', ')}: project ${tests} in ${copy}\n`);
  const args = [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--project',
    tests,
    ...needy.flatMap((place) => ['--exclude', place]),
    ...rest,
  ];
  const run = spawnSync(process.execPath, args, { cwd: copy, stdio: 'inherit' });
  process.exitCode = run.status ?? 1;
} finally {
  rmSync(copy, { recursive: true, force: true });
}

function isIn(path: string, places: readonly string[]): boolean {
  return places.some((place) => path === place || path.startsWith(`${place}/`));
}
