/** The sandboxes of a server under chaos: what can be killed of them, and what has run in them. */
import Dockerode from 'dockerode';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import { createDockerHands } from '../../src/hands/docker.ts';
import { isAlive } from '../bench/processes.ts';
import type { Part } from '../compare/subject.ts';
import { handFolders, sandboxPid } from '../sandboxes.ts';
import { MARKS_FILE } from './client.ts';

/** The sandboxes. */
export interface Sandboxes {
  /** One of them, picked by the caller's dice; undefined: none runs. */
  pick(random: () => number): Promise<Part | undefined>;
  /** How often each mark was left, in sandboxes that are gone, too. */
  marks(): Promise<ReadonlyMap<string, number>>;
  /** Removes those that the end of the server leaves. */
  remove(): Promise<void>;
}

/** What sandboxes can be made of. */
export const SANDBOX_KINDS = ['bubblewrap', 'docker'] as const;

/** One kind of them. */
export type SandboxKind = (typeof SANDBOX_KINDS)[number];

interface Sandbox {
  readonly id: string;
  /** The file of marks; undefined: there is none. */
  readMarks(): Promise<string | undefined>;
}

interface RunningSandbox extends Sandbox {
  isUp(): Promise<boolean>;
  /** Answers the file of marks, too: the sandbox is removed soon. */
  kill(): Promise<string | undefined>;
}

interface Host {
  all(): Promise<readonly Sandbox[]>;
  running(): Promise<readonly RunningSandbox[]>;
  remove(): Promise<void>;
}

/** Looks after the sandboxes of the server with this data dir. */
export function watchSandboxes(dataDir: string, kind: SandboxKind = 'bubblewrap'): Sandboxes {
  const host = kind === 'docker' ? containersOf(dataDir) : foldersBelow(dataDir);
  /** What was in a sandbox's file when it was last read. */
  const logs = new Map<string, string>();
  const keep = (id: string, marks: string | undefined): void => {
    if (marks !== undefined) logs.set(id, marks);
  };

  return {
    async pick(random) {
      const running = await host.running();
      const one = running[Math.floor(random() * running.length)];
      return one && { name: 'sandbox', isUp: one.isUp, kill: async () => keep(one.id, await one.kill()) };
    },
    async marks() {
      for (const { id, readMarks } of await host.all()) keep(id, await readMarks());
      const counts = new Map<string, number>();
      for (const log of logs.values())
        for (const mark of log.split('\n').filter(Boolean)) counts.set(mark, (counts.get(mark) ?? 0) + 1);
      return counts;
    },
    remove: () => host.remove(),
  };
}

/** Sandboxes of bubblewrap. */
function foldersBelow(dataDir: string): Host {
  const sandboxAt = (folder: string): Sandbox => ({
    id: folder,
    readMarks: () => readFile(join(folder, 'workspace', MARKS_FILE), 'utf8').catch(() => undefined),
  });
  return {
    all: async () => (await handFolders(dataDir)).map(sandboxAt),
    async running() {
      const folders = await handFolders(dataDir);
      const pids = await Promise.all(folders.map(sandboxPid));
      return folders.flatMap((folder, at) => {
        const pid = pids[at];
        if (pid === undefined) return [];
        const sandbox = sandboxAt(folder);
        const kill = (): Promise<string | undefined> => {
          process.kill(pid, 'SIGKILL');
          return sandbox.readMarks();
        };
        return { ...sandbox, isUp: () => isAlive(pid), kill };
      });
    },
    // They lie in the data dir.
    remove: async () => undefined,
  };
}

/** Containers. */
function containersOf(dataDir: string): Host {
  const docker = new Dockerode();
  const hands = createDockerHands({ docker, image: 'none is made here', owner: dataDir });
  const sandboxOf = (id: string): Sandbox => ({ id, readMarks: () => readFrom(docker.getContainer(id)) });
  return {
    all: async () => (await hands.list()).map(({ hand }) => sandboxOf(hand.id)),
    async running() {
      const running = await hands.listRunning();
      return running.map(({ hand: { id } }) => {
        const container = docker.getContainer(id);
        return {
          ...sandboxOf(id),
          isUp: async () => (await container.inspect()).State.Running,
          async kill() {
            // Nothing runs any more, and it is still there: a dead one may be removed before it is read.
            await container.pause();
            const marks = await readFrom(container);
            await container.kill();
            return marks;
          },
        };
      });
    },
    async remove() {
      for (const { hand } of await hands.list()) await hands.release(hand);
    },
  };
}

async function readFrom(container: Dockerode.Container): Promise<string | undefined> {
  const archive = await container.getArchive({ path: `/workspace/${MARKS_FILE}` }).catch((error: unknown) => {
    if ((error as { statusCode?: number }).statusCode === 404) return undefined;
    throw error;
  });
  if (!archive) return undefined;
  for await (const entry of archive.pipe(extract())) return await text(entry);
  return undefined;
}
