/**
 * What a hand needs in order to run the runner: its modules and those that they import, found by importing them,
 * so that no list goes stale when the SDK changes.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** The files of the runner. */
export interface Payload {
  /** Changes whenever one of the files does. */
  readonly hash: string;
  readonly files: readonly PayloadFile[];
  /** Goes next to the files: it makes Node read them for what they are. */
  readonly packageJson: string;
}

/** One file: where it is here, and where it belongs below the folder that the runner is installed in. */
interface PayloadFile {
  readonly source: string;
  readonly path: string;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ENTRIES = ['./runner.ts', './runner/serve.ts'].map((path) => new URL(path, import.meta.url).href);
const PACKAGE_JSON = '{ "private": true, "type": "module" }\n';

/** Imports the runner in a process of its own and notes every file that this loads. */
const COLLECT = `
import { registerHooks } from 'node:module';
const urls = new Set();
registerHooks({ load(url, context, next) { urls.add(url); return next(url, context); } });
for (const entry of ${JSON.stringify(ENTRIES)}) await import(entry);
console.log(JSON.stringify([...urls].filter((url) => url.startsWith('file:'))));
process.exit(0);
`;

/** Finds the runner's files. Takes a fraction of a second. */
export async function findPayload(): Promise<Payload> {
  const { stdout } = await promisify(execFile)(execPath, ['--input-type=module', '--eval', COLLECT], {
    env: {},
  });
  const modules = (JSON.parse(stdout) as string[]).map((url) => fileURLToPath(url));
  const manifests = modules.map(toManifest).filter((path) => path !== undefined);
  const sources = [...new Set([...modules, ...manifests])].sort();
  const files = sources.map((source) => ({ source, path: toPath(source) }));
  const hash = createHash('sha256').update(PACKAGE_JSON);
  for (const { source, path } of files) hash.update(`\0${path}\0`).update(await readFile(source));
  return { hash: hash.digest('hex'), files, packageJson: PACKAGE_JSON };
}

/** Copies the runner's files below a folder. */
export async function installPayload(payload: Payload, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), payload.packageJson);
  for (const { source, path } of payload.files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await copyFile(source, join(folder, path));
  }
  // Whatever the umask is here: in the hand, another user reads these.
  await promisify(execFile)('chmod', ['-R', 'a+rX', folder]);
}

/** The package.json of the package that a module belongs to: without it Node cannot resolve the imports of others. */
function toManifest(module: string): string | undefined {
  const found = /^(.*[/\\]node_modules[/\\](?:@[^/\\]+[/\\])?[^/\\]+)[/\\]/.exec(module)?.[1];
  return found === undefined ? undefined : join(found, 'package.json');
}

/** Below the project's root as it is; a package that is installed further up comes next to the others. */
function toPath(source: string): string {
  const path = relative(ROOT, source);
  return path.startsWith('..') ? source.slice(source.indexOf(`${sep}node_modules${sep}`) + 1) : path;
}
