/** Puts the runner together and serves until it is killed. */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { createCalls } from './calls.ts';
import { createFiles } from './files.ts';
import { createJournal } from './journal.ts';
import { ENDED_ON_REQUEST, SOCKET_NAME } from './places.ts';
import { serveCalls } from './server.ts';
import { isStagingFolder } from './staging.ts';
import { createToolset } from './toolset.ts';

/** The folders of a hand, and how it is closed off. */
export interface ServeOptions {
  readonly state: string;
  readonly workdir: string;
  readonly session: string;
  readonly tmp: string;
  /** Where commands look for programs. */
  readonly path: string;
  /** True where every process that /proc shows belongs to this hand. */
  readonly alone: boolean;
}

/** Carries out tool calls for whoever connects to the socket in the state folder. */
export async function serve(options: ServeOptions): Promise<void> {
  const { state, workdir, session, tmp, path, alone } = options;
  for (const name of ['uploads', 'outputs']) await mkdir(join(session, name), { recursive: true });
  await removeStaging(state);
  const runTool = createToolset({
    workdir,
    allowedRoots: [session, tmp],
    // All that a command sees of an environment. Anything more would be a leak.
    env: { PATH: path, HOME: workdir, LANG: 'C.UTF-8', TERM: 'dumb', USER: 'agent' },
    spillFolder: join(session, 'tool-output'),
    state,
    alone,
  });
  const calls = createCalls(await createJournal(join(state, 'journal')), runTool);
  const served = { calls, files: createFiles(workdir) };
  await serveCalls(join(state, SOCKET_NAME), served, {
    onUnreachable: () => process.exit(0),
    onRequest: () => process.exit(ENDED_ON_REQUEST),
  });
  // The codes by which a cause of death is told.
  process.once('SIGTERM', () => process.exit(143));
  process.once('SIGINT', () => process.exit(130));
}

/** What came over the lines of an earlier runner, which nobody will ask for. */
async function removeStaging(state: string): Promise<void> {
  const left = (await readdir(state)).filter(isStagingFolder);
  for (const name of left) await rm(join(state, name), { recursive: true, force: true });
}
