import { randomUUID } from 'node:crypto';
import { copyFile, link, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Blobs } from '../blobs.ts';
import { requireBytes, requireSessionId, requireSha256, toContent, toText, type Content } from './content.ts';

/** Files that are written at the same time: their syncs share what the disk does. */
const AT_ONCE = 16;

/** Blobs as files `<folder>/<session>/<sha256>`; written beside, synced, then renamed, so never half there. */
export function createFolderBlobs(folder: string): Blobs {
  const sessionFolder = (sessionId: string): string => {
    requireSessionId(sessionId);
    return join(folder, sessionId);
  };
  const putAll = async (sessionId: string, contents: readonly Content[]): Promise<void> => {
    const home = sessionFolder(sessionId);
    const written = await eachOf(contents, (content) => putOne(home, content));
    if (written.includes(true)) await syncFolder(home);
  };
  const read = async (sessionId: string, sha256: string): Promise<Uint8Array | undefined> => {
    requireSha256(sha256);
    return readFile(join(sessionFolder(sessionId), sha256)).catch(orUndefined);
  };

  return {
    async put(sessionId, text) {
      const content = toContent(text);
      await putAll(sessionId, [content]);
      return content.ref;
    },
    get: async (sessionId, ref) => toText(sessionId, ref, await read(sessionId, ref.sha256)),
    putBytes: (sessionId, contents) => putAll(sessionId, contents.map(toContent)),
    getBytes: async (sessionId, sha256) => requireBytes(sessionId, sha256, await read(sessionId, sha256)),
    async has(sessionId, sha256s) {
      const names = await readdir(sessionFolder(sessionId)).catch(orUndefined);
      const there = new Set(names);
      return new Set(sha256s.filter((sha256) => there.has(sha256)));
    },
    async copy(fromId, toId, sha256s) {
      sha256s.forEach(requireSha256);
      const [from, to] = [sessionFolder(fromId), sessionFolder(toId)];
      await mkdir(to, { recursive: true });
      await eachOf(sha256s, (sha256) => copyOne(join(from, sha256), to, sha256));
      await syncFolder(to);
    },
    async removeAll(sessionId) {
      await rm(sessionFolder(sessionId), { recursive: true, force: true });
    },
  };
}

/** True when it was not there. */
async function putOne(home: string, { bytes, ref }: Content): Promise<boolean> {
  const path = join(home, ref.sha256);
  const there = await stat(path).catch(orUndefined);
  if (there?.size === bytes.length) return false;
  await mkdir(home, { recursive: true });
  await throughDraft(home, path, (draft) => writeSynced(draft, bytes));
  return true;
}

/** A link where the file system has links: what is in a blob never changes. */
async function copyOne(source: string, home: string, sha256: string): Promise<void> {
  await throughDraft(home, join(home, sha256), async (draft) => {
    await link(source, draft).catch(async (error: unknown) => {
      if (isMissing(error)) throw error;
      await copyFile(source, draft);
      await syncFile(draft);
    });
  }).catch((error: unknown) => {
    if (!isMissing(error)) throw error;
  });
}

/** Has a file made beside its place and then put there. */
async function throughDraft(
  home: string,
  path: string,
  make: (draft: string) => Promise<void>,
): Promise<void> {
  const draft = join(home, `.${randomUUID()}`);
  try {
    await make(draft);
    await rename(draft, path);
  } finally {
    // Also where both names are links to one file already: then a rename does nothing.
    await rm(draft, { force: true });
  }
}

async function eachOf<T, R>(items: readonly T[], use: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let from = 0; from < items.length; from += AT_ONCE)
    results.push(...(await Promise.all(items.slice(from, from + AT_ONCE).map(use))));
  return results;
}

function orUndefined(error: unknown): undefined {
  if (!isMissing(error)) throw error;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The name is as durable as the content only when the folder is written too. */
async function syncFolder(path: string): Promise<void> {
  await syncFile(path);
}
