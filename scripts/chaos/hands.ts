/** The sandboxes of a server under chaos: what can be killed of them, and what has run in them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
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
}

/** Looks after the sandboxes below a data dir. */
export function watchSandboxes(dataDir: string): Sandboxes {
  /** What was in a sandbox's file when it was last read. */
  const logs = new Map<string, string>();

  async function read(folder: string): Promise<void> {
    const text = await readFile(join(folder, 'workspace', MARKS_FILE), 'utf8').catch(() => undefined);
    if (text !== undefined) logs.set(folder, text);
  }

  return {
    async pick(random) {
      const running: { readonly folder: string; readonly pid: number }[] = [];
      for (const folder of await handFolders(dataDir)) {
        const pid = await sandboxPid(folder);
        if (pid !== undefined) running.push({ folder, pid });
      }
      const one = running[Math.floor(random() * running.length)];
      if (!one) return undefined;
      return {
        name: 'sandbox',
        isUp: () => isAlive(one.pid),
        async kill() {
          process.kill(one.pid, 'SIGKILL');
          // It is removed soon.
          await read(one.folder);
        },
      };
    },
    async marks() {
      for (const folder of await handFolders(dataDir)) await read(folder);
      const counts = new Map<string, number>();
      for (const text of logs.values())
        for (const mark of text.split('\n').filter(Boolean)) counts.set(mark, (counts.get(mark) ?? 0) + 1);
      return counts;
    },
  };
}
