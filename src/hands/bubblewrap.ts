/**
 * Hands in bubblewrap: namespaces made by an unprivileged program, no daemon. A hand is a folder
 * `<data dir>/hands/<key>/<generation>` and the processes that see it as their world. They outlive the worker.
 *
 * There is no network in these hands, whatever the spec asks for: the only one to give is the host's own, where
 * services listen on the loopback that trust whoever reaches them. Nor is there a limit on memory and disk: use
 * docker for code that is out to do harm.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, realpath, rename, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HandGoneError, type HandRef } from '../hands.ts';
import { toHostUid } from './bubblewrap/command.ts';
import { inspectHost, type Host } from './bubblewrap/host.ts';
import {
  inspect,
  killAll,
  makeFolder,
  openSocket,
  readLog,
  removeFolder,
  start,
} from './bubblewrap/sandbox.ts';
import { createConnection } from './connection.ts';
import { createLink, type Link } from './link.ts';
import { findPayload, installPayload } from './payload.ts';
import type { HandRecord, ListableHands } from './reap.ts';

/** What bubblewrap hands are made with. */
export interface BubblewrapOptions {
  /** Where all state lives; hands get a folder in it. */
  readonly dataDir: string;
  /** The Node that runs the runner in the hand. */
  readonly nodePath: string;
  /** How many processes and threads a hand may have. */
  readonly maxProcesses?: number;
  /** How much a hand may keep in /tmp, which is memory. */
  readonly tmpBytes?: number;
}

/** One life of a hand. A hand that died is replaced by the next generation under the same key. */
interface Generation {
  readonly id: string;
  readonly folder: string;
}

const KIND = 'bubblewrap';
const BUSY_PAUSE_MS = 25;
/** How long a provision waits for one that another process has begun. */
const BUSY_PATIENCE_MS = 40_000;
/** A dead sandbox's exit code is written by its parent, a moment after the line to it breaks. */
const EXIT_CODE_PATIENCE_MS = 300;

/** Makes the port over a data folder; any number of processes may share one. */
export function createBubblewrapHands(options: BubblewrapOptions): ListableHands {
  const root = join(options.dataDir, 'hands');
  const links = new Map<string, Link>();
  let setUp: Promise<{ host: Host; runnerFolder: string; nodePath: string }> | undefined;

  const prepare = async (): Promise<{ host: Host; runnerFolder: string; nodePath: string }> => {
    await mkdir(root, { recursive: true, mode: 0o700 });
    const [host, runnerFolder, nodePath] = await Promise.all([
      inspectHost(),
      installRunner(root),
      realpath(options.nodePath),
    ]);
    return { host, runnerFolder, nodePath };
  };
  const launch = async (home: string, key: string): Promise<Generation | undefined> => {
    setUp ??= prepare().catch((error: unknown) => {
      setUp = undefined;
      throw error;
    });
    const { host, runnerFolder, nodePath } = await setUp;
    const name = randomBytes(6).toString('hex');
    const folder = join(home, name);
    const uid = toHostUid(host, name);
    await makeFolder(folder, key, { host, uid });
    const { maxProcesses = 1024, tmpBytes = 2 ** 30 } = options;
    const id = toId(home, name);
    const limits = { maxProcesses, tmpBytes };
    const result = await start(host, home, {
      mark: toMark(id),
      folder,
      runnerFolder,
      nodePath,
      uid,
      ...limits,
    }).catch(async (error: unknown) => {
      await removeFolder(folder);
      throw error;
    });
    if (result === 'started') return { id, folder };
    await removeFolder(folder);
    return undefined;
  };
  const linkTo = (id: string): Link => {
    const folder = toFolder(root, id);
    const known = links.get(id);
    if (known !== undefined) return known;
    const link = createLink({
      open: () => openSocket(folder),
      findCauseOfDeath: () => findCauseOfDeath(folder, id),
    });
    links.set(id, link);
    return link;
  };

  return {
    kind: KIND,
    async provision(key, _spec, { signal }) {
      const home = join(root, createHash('sha256').update(key).digest('hex').slice(0, 24));
      const deadlineMs = performance.now() + BUSY_PATIENCE_MS;
      while (performance.now() < deadlineMs) {
        signal.throwIfAborted();
        const found = await findLiving(home);
        const hand = found ?? (await launch(home, key));
        if (hand !== undefined) {
          if (found === undefined) await removeDead(home, hand);
          return { id: hand.id, kind: KIND };
        }
        await sleep(BUSY_PAUSE_MS, undefined, { signal });
      }
      throw new Error('another process holds the lock of this sandbox but has not brought it up');
    },
    async execute(hand, call, context) {
      if (hand.kind !== KIND)
        throw new HandGoneError(`this worker cannot reach a sandbox of kind ${hand.kind}`);
      try {
        return await linkTo(hand.id).execute(call, context);
      } catch (error) {
        if (error instanceof HandGoneError) links.delete(hand.id);
        throw error;
      }
    },
    async release(hand) {
      links.get(hand.id)?.close();
      links.delete(hand.id);
      const folder = toFolder(root, hand.id);
      await killAll(folder, toMark(hand.id));
      await removeFolder(folder);
      // Fails, as it should, while the key has another generation.
      await rmdir(join(folder, '..')).catch(() => undefined);
    },
    list: () => listHands(root),
  };
}

/** Installs the runner once for all hands, under a name that changes with it: hands that live keep their own. */
async function installRunner(root: string): Promise<string> {
  const payload = await findPayload();
  const folder = join(root, '.runner', payload.hash.slice(0, 24));
  await mkdir(join(root, '.runner'), { recursive: true });
  const isThere = await readFile(join(folder, 'package.json')).catch(() => undefined);
  if (isThere !== undefined) return folder;
  const unfinished = await mkdtemp(`${folder}-`);
  await installPayload(payload, unfinished);
  await rename(unfinished, folder).catch(async (error: unknown) => {
    await rm(unfinished, { recursive: true });
    // Another process was quicker, or there is a real problem.
    await readFile(join(folder, 'package.json')).catch(() => {
      throw error;
    });
  });
  return folder;
}

/** The generation that answers, if there is one. One that runs but stays silent is put out of its misery. */
async function findLiving(home: string): Promise<Generation | undefined> {
  for (const generation of await listGenerations(home)) {
    const socket = await openSocket(generation.folder).catch(() => undefined);
    if (socket === undefined) continue;
    try {
      (await createConnection(socket)).close();
      return generation;
    } catch {
      await killAll(generation.folder, toMark(generation.id));
    }
  }
  return undefined;
}

async function removeDead(home: string, living: Generation): Promise<void> {
  for (const { id, folder } of await listGenerations(home)) {
    if (id === living.id) continue;
    await killAll(folder, toMark(id));
    await removeFolder(folder);
  }
}

async function findCauseOfDeath(folder: string, id: string): Promise<string | undefined> {
  const deadlineMs = performance.now() + EXIT_CODE_PATIENCE_MS;
  for (;;) {
    const condition = await inspect(folder, toMark(id));
    if (condition.kind === 'running') return undefined;
    if (condition.kind === 'absent') return 'The sandbox no longer exists: it was released.';
    if (condition.code === undefined && performance.now() < deadlineMs) await sleep(10);
    else return explain(condition.code, await readLog(folder));
  }
}

function explain(code: number | undefined, log: string): string {
  if (code === undefined)
    return 'The sandbox is gone: its processes were killed, or the machine was restarted.';
  if (code === 137)
    return 'The sandbox died: its main process was killed (SIGKILL), by somebody or for lack of memory.';
  return `The sandbox died: its main process ended with code ${code}. ${log}`;
}

async function listHands(root: string): Promise<HandRecord[]> {
  const homes = await readdir(root).catch(() => []);
  const generations = await Promise.all(homes.map((home) => listGenerations(join(root, home))));
  const records = generations.flat().map(async ({ id, folder }) => {
    const key = await readFile(join(folder, 'key'), 'utf8').catch(() => undefined);
    return key === undefined ? [] : [{ hand: { id, kind: KIND } satisfies HandRef, key }];
  });
  return (await Promise.all(records)).flat();
}

async function listGenerations(home: string): Promise<Generation[]> {
  const names = await readdir(home).catch(() => []);
  return names
    .filter((name) => /^[0-9a-f]{12}$/.test(name))
    .map((name) => ({ id: toId(home, name), folder: join(home, name) }));
}

function toId(home: string, generation: string): string {
  return `${home.slice(home.lastIndexOf('/') + 1)}-${generation}`;
}

/** Refuses what is no id of ours: it becomes a path. */
function toFolder(root: string, id: string): string {
  const parts = /^([0-9a-f]{24})-([0-9a-f]{12})$/.exec(id);
  if (parts?.[1] === undefined || parts[2] === undefined)
    throw new HandGoneError(`there is no sandbox ${JSON.stringify(id)}`);
  return join(root, parts[1], parts[2]);
}

function toMark(id: string): string {
  return `drover-hand-${id}`;
}
