/** The processes and folders of bubblewrap hands, seen from the host. */
import { access, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { handFolders } from '../../scripts/sandboxes.ts';
import { eventually } from './process.ts';

/** Waits until a command has made this file in its working directory; answers the hand's folder. */
export async function commandStarted(dataDir: string, sessionId: string, file: string): Promise<string> {
  return await eventually(
    `the command to make ${file}`,
    async () => {
      for (const folder of await handFolders(dataDir, sessionId)) {
        const isThere = await access(join(folder, 'workspace', file)).then(
          () => true,
          () => false,
        );
        if (isThere) return folder;
      }
      return undefined;
    },
    30_000,
  );
}

/** A command that makes the file f, with a line for each time that it runs, and goes on when it is told to. */
export const UNTIL_TOLD = 'echo x >> f; until [ -e go ]; do sleep 0.05; done; wc -l < f';

/** Has the command of a hand in this folder go on. */
export async function tellToGoOn(folder: string): Promise<void> {
  await writeFile(join(folder, 'workspace', 'go'), '');
}

/** The pids of a process's children. */
export async function childrenOf(pid: number): Promise<number[]> {
  const all = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const parents = await Promise.all(all.map(async (one) => [one, await parentOf(one)] as const));
  return parents.filter(([, parent]) => parent === pid).map(([one]) => one);
}

/** The pid of a process's parent; 0 where there is none. */
export async function parentOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return Number(/\) \S (\d+)/.exec(stat)?.[1] ?? 0);
}
