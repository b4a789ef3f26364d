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
