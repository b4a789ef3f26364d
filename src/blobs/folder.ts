import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Blobs } from '../blobs.ts';
import { requireSessionId, toContent, toText } from './content.ts';

/** Blobs as files `<folder>/<session>/<sha256>`; written beside, synced, then renamed, so never half there. */
export function createFolderBlobs(folder: string): Blobs {
  const sessionFolder = (sessionId: string): string => {
    requireSessionId(sessionId);
    return join(folder, sessionId);
  };

  return {
    async put(sessionId, text) {
      const { bytes, ref } = toContent(text);
      const home = sessionFolder(sessionId);
      const path = join(home, ref.sha256);
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
      return ref;
    },
    async get(sessionId, ref) {
      const path = join(sessionFolder(sessionId), ref.sha256);
      const bytes = await readFile(path).catch((error: unknown) => {
        if (isMissing(error)) return undefined;
        throw error;
      });
      return toText(sessionId, ref, bytes);
    },
    async removeAll(sessionId) {
      await rm(sessionFolder(sessionId), { recursive: true, force: true });
    },
  };
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
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
