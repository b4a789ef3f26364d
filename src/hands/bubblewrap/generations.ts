/**
 * The lives of hands as folders: `<hands>/<key>/<generation>`. Of the generations of one key at most one lives, which
 * a lock on the key's folder sees to; that one is found by trying which answers. A generation that is suspended has
 * no processes, and is started again on its folder when it is needed.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readFile, readdir, rmdir } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createConnection } from '../connection.ts';
import type { PresentLife } from '../idle.ts';
import { toHostUid } from './command.ts';
import type { Host } from './host.ts';
import {
  endAll,
  inspect,
  isOver,
  killAll,
  makeFolder,
  noteSuspension,
  openSocket,
  readLog,
  removeFolder,
  start,
} from './sandbox.ts';

/** One life of a hand. A hand that died is replaced by another generation under the same key. */
export interface Generation {
  readonly id: string;
  readonly folder: string;
  /** What its processes are known by. */
  readonly mark: string;
}

/** What every generation is made with. */
export interface Making {
  readonly host: Host;
  readonly runnerFolder: string;
  readonly nodePath: string;
  readonly maxProcesses: number;
  readonly tmpBytes: number;
}

/** A dead sandbox's exit code is written by its parent, a moment after the line to it breaks. */
const EXIT_CODE_PATIENCE_MS = 300;
const POLL_MS = 10;
/** How long a generation may take that another process starts again. */
const RESUME_PATIENCE_MS = 30_000;
const RESUME_PAUSE_MS = 25;

/** The folder of all generations of a key. */
export function toHome(root: string, key: string): string {
  return join(root, createHash('sha256').update(key).digest('hex').slice(0, 24));
}

/** The generation with this id; undefined for what is no id of ours, as it becomes a path. */
export function fromId(root: string, id: string): Generation | undefined {
  const [, home, name] = /^([0-9a-f]{24})-([0-9a-f]{12})$/.exec(id) ?? [];
  return home === undefined || name === undefined ? undefined : toGeneration(join(root, home), name);
}

/** Starts a generation. Undefined when another one of the key lives or is just being started. */
export async function launch(making: Making, home: string, key: string): Promise<Generation | undefined> {
  const name = randomBytes(6).toString('hex');
  const generation = toGeneration(home, name);
  const { folder, mark } = generation;
  const uid = toHostUid(making.host, name);
  let started = false;
  try {
    await makeFolder(folder, key, { host: making.host, uid });
    started = await start(making.host, home, { ...making, mark, folder, uid });
  } catch (error) {
    // Whoever was quicker removes all other generations, also one that is still being made.
    if (!isMissingFile(error)) throw error;
  } finally {
    if (!started) await removeFolder(folder);
  }
  return started ? generation : undefined;
}

function isMissingFile(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT' && 'path' in error;
}

/** The generation that answers, if there is one. One that runs but stays silent is put out of its misery. */
export async function findLiving(home: string): Promise<Generation | undefined> {
  for (const generation of await listGenerations(home)) {
    const { folder, mark } = generation;
    const found = await inspect(folder, mark);
    const socket = await openSocket(folder).catch(() => undefined);
    if (socket === undefined) continue;
    try {
      (await createConnection(socket)).close();
      return generation;
    } catch {
      // One that has just been suspended fails too, and may have been started again for somebody else.
      if (found.kind === 'running') await killAll(folder, mark, found.life);
    }
  }
  return undefined;
}

/**
 * Starts the suspended generation of a key again, if there is one. False when there is none, and none that runs
 * without answering either: such a one is only just being started, or suspended.
 */
export async function resumeAny(making: () => Promise<Making>, home: string): Promise<boolean> {
  for (const generation of await listGenerations(home)) {
    const { kind } = await inspect(generation.folder, generation.mark);
    if (kind === 'suspended') await resume(await making(), generation);
    if (kind === 'suspended' || kind === 'running') return true;
  }
  return false;
}

/** Opens a line to a generation's runner. One that is suspended is started again for it, by whoever is first. */
export async function reach(making: () => Promise<Making>, generation: Generation): Promise<Socket> {
  const { folder, mark } = generation;
  const deadlineMs = performance.now() + RESUME_PATIENCE_MS;
  for (;;) {
    try {
      return await openSocket(folder);
    } catch (error) {
      const { kind } = await inspect(folder, mark);
      // What runs and does not listen is only just being started again, or suspended: it would end with its runner.
      const isChanging = kind === 'running' && (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';
      if ((kind !== 'suspended' && !isChanging) || performance.now() > deadlineMs) throw error;
      if (kind === 'suspended' && (await resume(await making(), generation))) continue;
    }
    await sleep(RESUME_PAUSE_MS);
  }
}

/** Stops the processes of all generations there are; the folders stay as they are. */
export async function suspendAll(root: string, signal: AbortSignal): Promise<void> {
  const all = await listAll(root);
  if (all.length === 0) return;
  await Promise.all(all.map(({ folder, mark }) => noteSuspension(folder, mark)));
  await endAll(new Set(all.map(({ mark }) => mark)), signal);
}

/** How `suspendIfIdle` gets at a generation. */
export function presentLife({ folder, mark }: Generation): PresentLife {
  return {
    open: () => openSocket(folder).catch(() => undefined),
    note: async () => (await noteSuspension(folder, mark))?.toString(),
    isOver: (life) => isOver(folder, mark, Number(life)),
  };
}

/** The generations that run, with their keys. */
export async function listRunning(root: string): Promise<(Generation & { readonly key: string })[]> {
  const all = await listAll(root);
  const conditions = await Promise.all(all.map(({ folder, mark }) => inspect(folder, mark)));
  return all.filter((_, at) => conditions[at]?.kind === 'running');
}

/** Ends a generation and removes what it held. */
export async function remove({ folder, mark }: Generation): Promise<void> {
  await killAll(folder, mark);
  await removeFolder(folder);
  // Fails, as it should, while the key has another generation.
  await rmdir(join(folder, '..')).catch(() => undefined);
}

/** Removes what earlier lives of a key have left. */
export async function removeOthers(home: string, living: Generation): Promise<void> {
  for (const generation of await listGenerations(home)) {
    if (generation.id !== living.id) await remove(generation);
  }
}

/** All generations there are, with their keys. */
export async function listAll(root: string): Promise<(Generation & { readonly key: string })[]> {
  const homes = await readdir(root).catch(() => []);
  const generations = await Promise.all(homes.map((home) => listGenerations(join(root, home))));
  const withKeys = generations.flat().map(async (generation) => {
    const key = await readFile(join(generation.folder, 'key'), 'utf8').catch(() => undefined);
    return key === undefined ? [] : [{ ...generation, key }];
  });
  return (await Promise.all(withKeys)).flat();
}

/** Says why a generation is dead; undefined while it runs. */
export async function findCauseOfDeath({ folder, mark }: Generation): Promise<string | undefined> {
  const deadlineMs = performance.now() + EXIT_CODE_PATIENCE_MS;
  for (;;) {
    const condition = await inspect(folder, mark);
    if (condition.kind === 'running' || condition.kind === 'suspended') return undefined;
    if (condition.kind === 'absent') return 'The sandbox no longer exists: it was released.';
    if (condition.code === undefined && performance.now() < deadlineMs) await sleep(POLL_MS);
    else return explain(condition.code, await readLog(folder));
  }
}

/** False when another process is at it, or the last one of the former life is not gone yet. */
async function resume(making: Making, { id, folder, mark }: Generation): Promise<boolean> {
  const name = id.slice(id.indexOf('-') + 1);
  return start(making.host, join(folder, '..'), {
    ...making,
    mark,
    folder,
    uid: toHostUid(making.host, name),
  });
}

function explain(code: number | undefined, log: string): string {
  if (code === undefined)
    return 'The sandbox is gone: its processes were killed, or the machine was restarted.';
  if (code === 137)
    return 'The sandbox died: its main process was killed (SIGKILL), by somebody or for lack of memory.';
  return `The sandbox died: its main process ended with code ${code}. ${log}`;
}

async function listGenerations(home: string): Promise<Generation[]> {
  const names = await readdir(home).catch(() => []);
  return names.filter((name) => /^[0-9a-f]{12}$/.test(name)).map((name) => toGeneration(home, name));
}

function toGeneration(home: string, name: string): Generation {
  const id = `${home.slice(home.lastIndexOf('/') + 1)}-${name}`;
  return { id, folder: join(home, name), mark: `drover-hand-${id}` };
}
