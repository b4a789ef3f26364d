import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Blobs } from '../blobs.ts';

/** Blobs as files `<folder>/<session>/<sha256>`; written beside, synced, then renamed, so never half there. */
export function createFolderBlobs(folder: string): Blobs {
  const sessionFolder = (sessionId: string): string => {
    if (!/^[A-Za-z0-9_-]+$/.test(sessionId)) throw new Error(`not a session id: ${sessionId}`);
    return join(folder, sessionId);
  };

  return {
    async put(sessionId, text) {
      const bytes = Buffer.from(text);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const home = sessionFolder(sessionId);
      const path = join(home, sha256);
      const there = await stat(path).catch(() => undefined);
      if (there?.size !== bytes.length) {
        await mkdir(home, { recursive: true });
        const draft = join(home, `.${randomUUID()}`);
        try {
          await writeSynced(draft, bytes);
          await rename(draft, path);
          await syncFolder(home);
        } catch (error) {
          await rm(draft, { force: true });
          throw error;
        }
      }
      return { sha256, bytes: bytes.length };
    },
    async get(sessionId, ref) {
      const bytes = await readFile(join(sessionFolder(sessionId), ref.sha256));
      if (createHash('sha256').update(bytes).digest('hex') !== ref.sha256) {
        throw new Error(`blob ${ref.sha256} of ${sessionId} is damaged`);
      }
      return bytes.toString('utf8');
    },
    async removeAll(sessionId) {
      await rm(sessionFolder(sessionId), { recursive: true, force: true });
    },
  };
}

async function writeSynced(path: string, bytes: Buffer): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The name is as durable as the content only when the folder is written too. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
