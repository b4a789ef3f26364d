/**
 * Hands in bubblewrap: namespaces made by an unprivileged program, no daemon. A hand is a folder below
 * `<data dir>/hands` and the processes that see it as their world. They outlive the worker, and the folder outlives
 * them when they are suspended.
 *
 * There is no network in these hands, whatever the spec asks for: the only one to give is the host's own, where
 * services listen on the loopback that trust whoever reaches them. Nor is there a limit on memory and disk: use
 * docker for code that is out to do harm.
 */
import { mkdir, mkdtemp, readFile, realpath, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HandGoneError, type HandRef } from '../hands.ts';
import {
  findCauseOfDeath,
  findLiving,
  fromId,
  launch,
  listAll,
  listRunning,
  presentLife,
  reach,
  remove,
  removeOthers,
  resumeAny,
  suspendAll,
  toHome,
  type Making,
} from './bubblewrap/generations.ts';
import { inspectHost } from './bubblewrap/host.ts';
import { createLink, type Link } from './link.ts';
import { suspendIfIdle } from './idle.ts';
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

const KIND = 'bubblewrap';
const BUSY_PAUSE_MS = 25;
/** How long a provision waits for one that another process has begun. */
const BUSY_PATIENCE_MS = 40_000;

/** Makes the port over a data folder; any number of processes may share one. */
export function createBubblewrapHands(options: BubblewrapOptions): ListableHands {
  const root = join(options.dataDir, 'hands');
  const links = new Map<string, Link>();
  let prepared: Promise<Making> | undefined;

  const making = (): Promise<Making> => {
    prepared ??= prepare(root, options).catch((error: unknown) => {
      prepared = undefined;
      throw error;
    });
    return prepared;
  };
  const linkTo = (id: string): Link => {
    const known = links.get(id);
    if (known !== undefined) return known;
    const generation = fromId(root, id);
    if (generation === undefined) throw new HandGoneError(`there is no sandbox ${JSON.stringify(id)}`);
    const open = (): ReturnType<typeof reach> => reach(making, generation);
    const link = createLink({ open, findCauseOfDeath: () => findCauseOfDeath(generation) });
    links.set(id, link);
    return link;
  };

  /** Does something over the line to a hand. The line to one that is gone is forgotten. */
  const over = async <T>(hand: HandRef, use: (link: Link) => Promise<T>): Promise<T> => {
    if (hand.kind !== KIND)
      throw new HandGoneError(`this worker cannot reach a sandbox of kind ${hand.kind}`);
    try {
      return await use(linkTo(hand.id));
    } catch (error) {
      if (error instanceof HandGoneError) links.delete(hand.id);
      throw error;
    }
  };

  return {
    kind: KIND,
    async provision(key, _spec, { signal }) {
      const home = toHome(root, key);
      const deadlineMs = performance.now() + BUSY_PATIENCE_MS;
      while (performance.now() < deadlineMs) {
        signal.throwIfAborted();
        const living = await findLiving(home);
        if (living !== undefined) return { id: living.id, kind: KIND };
        const isResumed = await resumeAny(making, home);
        const fresh = isResumed ? undefined : await launch(await making(), home, key);
        if (fresh !== undefined) {
          await removeOthers(home, fresh);
          return { id: fresh.id, kind: KIND };
        }
        await sleep(BUSY_PAUSE_MS, undefined, { signal });
      }
      throw new Error('another process holds the lock of this sandbox but has not brought it up');
    },
    execute: (hand, call, context) => over(hand, (link) => link.execute(call, context)),
    snapshot: (hand, store, context) => over(hand, (link) => link.snapshot(store, context)),
    restore: (hand, snapshot, store, context) => over(hand, (link) => link.restore(snapshot, store, context)),
    async release(hand) {
      const generation = hand.kind === KIND ? fromId(root, hand.id) : undefined;
      if (generation === undefined) return;
      links.get(hand.id)?.close();
      links.delete(hand.id);
      await remove(generation);
    },
    async list() {
      return (await listAll(root)).map(toRecord);
    },
    async listRunning() {
      return (await listRunning(root)).map(toRecord);
    },
    async suspendIdle(hand, options) {
      const generation = hand.kind === KIND ? fromId(root, hand.id) : undefined;
      return generation !== undefined && suspendIfIdle(presentLife(generation), options);
    },
    suspendAll: (signal) => suspendAll(root, signal),
  };
}

function toRecord({ id, key }: { readonly id: string; readonly key: string }): HandRecord {
  return { hand: { id, kind: KIND }, key };
}

async function prepare(root: string, options: BubblewrapOptions): Promise<Making> {
  const { nodePath, maxProcesses = 1024, tmpBytes = 2 ** 30 } = options;
  await mkdir(root, { recursive: true, mode: 0o700 });
  const [host, runnerFolder, realNodePath] = await Promise.all([
    inspectHost(),
    installRunner(root),
    realpath(nodePath),
  ]);
  return { host, runnerFolder, nodePath: realNodePath, maxProcesses, tmpBytes };
}

/** Installs the runner once for all hands, under a name that changes with it: hands that live keep their own. */
async function installRunner(root: string): Promise<string> {
  const payload = await findPayload();
  const folder = join(root, '.runner', payload.hash.slice(0, 24));
  const isThere = (): Promise<boolean> =>
    readFile(join(folder, 'package.json')).then(
      () => true,
      () => false,
    );
  if (await isThere()) return folder;
  await mkdir(join(root, '.runner'), { recursive: true });
  const unfinished = await mkdtemp(`${folder}-`);
  await installPayload(payload, unfinished);
  try {
    await rename(unfinished, folder);
  } catch (error) {
    // Another process may have been quicker.
    await rm(unfinished, { recursive: true });
    if (!(await isThere())) throw error;
  }
  return folder;
}
