/** Our own roles as processes: the same script under another name, each with its own part of the environment. */
import process from 'node:process';
import { orAborted } from './abort.ts';
import type { ReadyInfo } from './child.ts';
import { temporalDatabase } from './data-dir.ts';
import { roleEnvironment, type RoleKind } from './environment.ts';
import { keepRunning, type ProcessPlaces } from './process.ts';

/** The kinds that are our own script. */
export type OwnRole = Exclude<RoleKind, 'temporal'>;

/** What a role is told; undefined hides what it would otherwise see. */
export type RoleSettings = Readonly<Record<string, string | undefined>>;

/** What all roles of one server share. */
export interface RolesOptions {
  readonly entry: string;
  readonly env: NodeJS.ProcessEnv;
  readonly dataDir: string;
  readonly places: ProcessPlaces;
  readonly signal: AbortSignal;
  /** Stops, in reverse, what was started. */
  readonly held: AsyncDisposableStack;
}

/** Starts processes of one kind, all at once. */
export type StartRole = (
  kind: OwnRole,
  names: readonly string[],
  settings: (previous: ReadyInfo | undefined) => RoleSettings,
) => Promise<readonly ReadyInfo[]>;

/** Stopping all takes no longer than the sum: with Temporal's 3.5 s these are the 15 s that a server is given. */
const GRACE_MS: Readonly<Record<OwnRole, number>> = { api: 3000, worker: 6000, proxy: 1500, model: 1000 };

/** Makes the function that starts roles. It resolves when all of them are ready. */
export function createRoles(options: RolesOptions): StartRole {
  const { entry, env, dataDir, places, signal, held } = options;
  return async (kind, names, settings) => {
    signal.throwIfAborted();
    const kept = names.map((name) =>
      keepRunning(
        {
          name,
          graceMs: GRACE_MS[kind],
          readiness: 'message',
          command: (previous) => ({
            program: process.execPath,
            args: ['--disable-warning=ExperimentalWarning', entry, kind, roleMark(dataDir)],
            env: roleEnvironment(kind, env, { ...settings(previous), DROVER_DATA_DIR: dataDir }),
          }),
        },
        places,
      ),
    );
    held.defer(async () => void (await Promise.all(kept.map((one) => one.stop()))));
    return await orAborted(Promise.all(kept.map((one) => one.ready)), signal);
  };
}

/** What the command line of every role on this data dir contains, and that of no other process. */
export function roleMark(dataDir: string): string {
  return `--data-dir=${dataDir}`;
}

/** The same of the embedded Temporal server. */
export function temporalMark(dataDir: string): string {
  return `--db-filename ${temporalDatabase(dataDir)}`;
}
