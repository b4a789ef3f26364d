/**
 * Hands in Docker: one container each, reached through the daemon's API alone, so that the daemon may be elsewhere.
 *
 * `open` gives a hand Docker's default bridge: the internet, and whatever the machine serves on addresses other
 * than its loopback. `none` gives it nothing but a loopback of its own.
 */
import Dockerode from 'dockerode';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Duplex } from 'node:stream';
import { HandGoneError, type HandRef, type HandSpec } from '../hands.ts';
import {
  LABEL,
  explain,
  toContainerName,
  toCreateOptions,
  toMessage,
  toStatus,
  type Limits,
} from './docker/container.ts';
import { openRelay } from './docker/relay.ts';
import { findRest, isSuspended, presentLife, suspend } from './docker/suspension.ts';
import { suspendIfIdle } from './idle.ts';
import { createLink, type Link } from './link.ts';
import type { HandRecord, ListableHands } from './reap.ts';

/** What Docker hands are made with. */
export interface DockerOptions {
  /** An image with the runner in it: see `docker/sandbox/Dockerfile`. */
  readonly image: string;
  readonly docker?: Dockerode;
  /** Tells the containers of two installations apart that share a daemon. */
  readonly owner?: string;
  readonly limits?: Partial<Limits>;
}

const KIND = 'docker';
const DEFAULT_LIMITS: Limits = { memoryBytes: 8 * 2 ** 30, cpus: 2, processes: 1024 };
/** Each round takes away one obstacle: a dead container in the place, or another worker at the same work. */
const MAX_ROUNDS = 8;
/** A name is taken a moment before there is a container to be found under it. */
const BETWEEN_ROUNDS_MS = 250;
/** What became of a container is asked again while the daemon does not know. */
const MOST_QUESTIONS = 20;
const BETWEEN_QUESTIONS_MS = 100;
const ANSWER_PATIENCE_MS = 10_000;
/** How long a container may take from the end of its runner to its own. */
const REST_PATIENCE_MS = 20_000;

/** Makes the port over a Docker daemon; any number of processes may share one. */
export function createDockerHands(options: DockerOptions): ListableHands {
  const { image, docker = new Dockerode(), owner = 'drover' } = options;
  const links = new Map<string, Link>();
  const filters = { label: [`${LABEL.owner}=${owner}`] };
  let limits: Promise<Limits> | undefined;

  const linkTo = (id: string): Link => {
    const known = links.get(id);
    if (known !== undefined) return known;
    const link = createLink({
      open: () => reach(docker, id),
      findCauseOfDeath: () => findCauseOfDeath(docker, id),
    });
    links.set(id, link);
    return link;
  };
  const forget = (id: string): void => {
    links.get(id)?.close();
    links.delete(id);
  };
  /** Does something over the line to a hand. The line to one that is gone is forgotten. */
  const over = async <T>(hand: HandRef, use: (link: Link) => Promise<T>): Promise<T> => {
    if (hand.kind !== KIND)
      throw new HandGoneError(`this worker cannot reach a sandbox of kind ${hand.kind}`);
    try {
      return await use(linkTo(hand.id));
    } catch (error) {
      if (error instanceof HandGoneError) forget(hand.id);
      throw error;
    }
  };
  /** The id of a running container for the key; undefined when something was in the way that is now gone. */
  const bringUp = async (key: string, spec: HandSpec): Promise<string | undefined> => {
    limits ??= findLimits(docker, options.limits ?? {}).catch((error: unknown) => {
      limits = undefined;
      throw error;
    });
    const wanted = toCreateOptions({ image, owner, key }, spec, await limits);
    const id = (await create(docker, wanted)) ?? (await adopt(docker, toContainerName(owner, key)));
    return id !== undefined && (await start(docker, id)) ? id : undefined;
  };

  return {
    kind: KIND,
    async provision(key, spec, { signal }) {
      for (let round = 0; round < MAX_ROUNDS; round += 1) {
        signal.throwIfAborted();
        const id = await bringUp(key, spec);
        if (id === undefined) {
          await sleep(BETWEEN_ROUNDS_MS, undefined, { signal });
          continue;
        }
        try {
          await linkTo(id).ready();
          return { id, kind: KIND };
        } catch (error) {
          forget(id);
          if (!(error instanceof HandGoneError) || round + 1 === MAX_ROUNDS) throw error;
          await remove(docker, id);
        }
      }
      throw new Error(`no container could be brought up for this sandbox in ${MAX_ROUNDS} attempts`);
    },
    execute: (hand, call, context) => over(hand, (link) => link.execute(call, context)),
    snapshot: (hand, store, context) => over(hand, (link) => link.snapshot(store, context)),
    restore: (hand, snapshot, store, context) => over(hand, (link) => link.restore(snapshot, store, context)),
    async release(hand) {
      if (hand.kind !== KIND) return;
      forget(hand.id);
      await remove(docker, hand.id);
    },
    list: async () => (await docker.listContainers({ all: true, filters })).map(toRecord),
    listRunning: async () => (await docker.listContainers({ filters })).map(toRecord),
    suspendIdle: async (hand, options) =>
      hand.kind === KIND && suspendIfIdle(presentLife(docker, hand.id, options.signal), options),
    async suspendAll(abortSignal) {
      const running = await docker.listContainers({ filters, abortSignal });
      const ends = await Promise.allSettled(running.map(({ Id }) => suspend(docker, Id, abortSignal)));
      const failed = ends.flatMap((end) => (end.status === 'rejected' ? [toMessage(end.reason)] : []));
      if (failed.length > 0) throw new Error(failed.join('; '));
    },
  };
}

function toRecord({ Id, Labels }: Dockerode.ContainerInfo): HandRecord {
  return { hand: { id: Id, kind: KIND }, key: Labels[LABEL.key] ?? '' };
}

/** No more CPUs than there are: the daemon refuses that. */
async function findLimits(docker: Dockerode, wanted: Partial<Limits>): Promise<Limits> {
  const { NCPU } = (await docker.info()) as { NCPU: number };
  const limits = { ...DEFAULT_LIMITS, ...wanted };
  return { ...limits, cpus: Math.min(limits.cpus, NCPU) };
}

/** The new container's id; undefined when one of this name exists. */
async function create(
  docker: Dockerode,
  wanted: Dockerode.ContainerCreateOptions,
): Promise<string | undefined> {
  try {
    return (await docker.createContainer(wanted)).id;
  } catch (error) {
    if (toStatus(error) === 409) return undefined;
    if (toStatus(error) === 404)
      throw new Error(`the sandbox image ${wanted.Image} is not there`, { cause: error });
    throw new Error(`Docker could not make a sandbox: ${toMessage(error)}`, { cause: error });
  }
}

/** The id of the container of this name if it can still be used. A dead one is removed. */
async function adopt(docker: Dockerode, name: string): Promise<string | undefined> {
  const info = await docker
    .getContainer(name)
    .inspect()
    .catch((error: unknown) => {
      if (toStatus(error) === 404) return undefined;
      throw error;
    });
  if (info === undefined) return undefined;
  const { Id: id, State: state } = info;
  if (state.Paused) await docker.getContainer(id).unpause();
  if (state.Running || state.Status === 'created' || (await isSuspended(docker, info))) return id;
  // By id, not by name: another worker may have put a new one in the place already.
  await remove(docker, id);
  return undefined;
}

/** Opens a line to a container's runner. One that is suspended is started again for it. */
async function reach(docker: Dockerode, id: string): Promise<Duplex> {
  const deadlineMs = performance.now() + REST_PATIENCE_MS;
  for (;;) {
    try {
      return await openRelay(docker, id);
    } catch (error) {
      // Without a status there was no answer; with one, it does not run, or is just about to end.
      const rest = toStatus(error) === undefined ? 'dead' : await findRest(docker, id);
      if (rest === 'dead' || performance.now() > deadlineMs) throw error;
      if (rest === 'stopped') await resume(docker, id);
      else await sleep(BETWEEN_QUESTIONS_MS);
    }
  }
}

async function resume(docker: Dockerode, id: string): Promise<void> {
  try {
    await docker.getContainer(id).start();
  } catch (error) {
    // Somebody else was quicker.
    if (toStatus(error) !== 304) throw error;
  }
}

/** Says why a container's hand is dead; undefined while it lives, or is suspended. */
async function findCauseOfDeath(docker: Dockerode, id: string): Promise<string | undefined> {
  for (let tries = 1; ; tries += 1) {
    try {
      const info = await docker
        .getContainer(id)
        .inspect({ abortSignal: AbortSignal.timeout(ANSWER_PATIENCE_MS) });
      const cause = explain(info);
      return cause !== undefined && (await isSuspended(docker, info)) ? undefined : cause;
    } catch (error) {
      const status = toStatus(error);
      if (status === 404) return 'The sandbox no longer exists: its container was removed.';
      // The daemon answers so while a container is being removed: neither there nor gone.
      if (status === 500 && tries < MOST_QUESTIONS) await sleep(BETWEEN_QUESTIONS_MS);
      else return `The sandbox is out of reach: the Docker daemon does not answer (${toMessage(error)}).`;
    }
  }
}

/** False when the container has vanished meanwhile. */
async function start(docker: Dockerode, id: string): Promise<boolean> {
  try {
    await docker.getContainer(id).start();
    return true;
  } catch (error) {
    const status = toStatus(error);
    if (status === 304) return true;
    if (status === 404 || status === 409) return false;
    await remove(docker, id);
    throw new Error(`Docker could not start a sandbox: ${toMessage(error)}`, { cause: error });
  }
}

async function remove(docker: Dockerode, id: string): Promise<void> {
  try {
    await docker.getContainer(id).remove({ force: true, v: true });
  } catch (error) {
    // Gone, or being removed by somebody else.
    if (toStatus(error) !== 404 && toStatus(error) !== 409) throw error;
  }
}
