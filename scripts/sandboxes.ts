/** The folders of bubblewrap hands, seen from the host. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Folders of the hands of one session, or of all; what a hand calls `/workspace` is `workspace` in each. */
export async function handFolders(dataDir: string, sessionId?: string): Promise<string[]> {
  const root = join(dataDir, 'hands');
  const homes = (await readdir(root).catch(() => [])).filter((home) => !home.startsWith('.'));
  const folders: string[] = [];
  for (const home of homes) {
    for (const name of await readdir(join(root, home)).catch(() => [])) {
      const key = await readFile(join(root, home, name, 'key'), 'utf8').catch(() => '');
      if (key !== '' && (sessionId === undefined || key.startsWith(`${sessionId}-`)))
        folders.push(join(root, home, name));
    }
  }
  return folders;
}

/** The process of a hand that runs: the first one inside its sandbox. */
export async function sandboxPid(folder: string): Promise<number | undefined> {
  const status = await readFile(join(folder, 'status'), 'utf8').catch(() => '');
  const pid = Number(/"child-pid": *(\d+)/.exec(status)?.[1] ?? 0);
  return pid > 0 && !status.includes('exit-code') ? pid : undefined;
}
