/**
 * The bundle of workflow code that workers run. Making it takes seconds, so it is made once for each state of the
 * sources and kept: a worker that is started again after a crash must be back at once.
 */
import { bundleWorkflowCode } from '@temporalio/worker';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { glob, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
/** Whatever the bundle can be made of; more than it is, so that no change is missed. */
const SOURCES = [
  'workflows/**/*.ts',
  'activities/contract.ts',
  'src/loop.ts',
  'src/loop/**/*.ts',
  'src/log.ts',
  'src/wire/**/*.ts',
  'package-lock.json',
];

/** Answers the path of the bundle, making it in `folder` where it is not there yet. */
export async function ensureWorkflowBundle(folder: string): Promise<string> {
  const path = join(folder, `workflows-${await hashOfSources()}.js`);
  if (existsSync(path)) return path;
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(ROOT, 'workflows', 'index.ts'),
    logger: { log: ignore, trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore },
  });
  await mkdir(dirname(path), { recursive: true });
  const draft = `${path}.${randomUUID()}`;
  await writeFile(draft, code);
  await rename(draft, path);
  return path;
}

async function hashOfSources(): Promise<string> {
  const names: string[] = [];
  for await (const name of glob(SOURCES, { cwd: ROOT })) names.push(name);
  const hash = createHash('sha256');
  for (const name of names.sort())
    hash
      .update(name)
      .update('\0')
      .update(await readFile(join(ROOT, name)));
  return hash.digest('hex').slice(0, 16);
}

function ignore(): void {
  // The bundler's progress is of no interest; its failures are thrown.
}
