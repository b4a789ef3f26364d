/** Where snapshots of a session's workspace are kept: among its blobs, so that they go with it. */
import type { Blobs } from '../blobs.ts';
import { readManifest, type Manifest, type SnapshotStore } from '../snapshot.ts';

/** The store of one session. */
export function createSnapshotStore(blobs: Blobs, sessionId: string): SnapshotStore {
  return {
    has: (sha256s) => blobs.has(sessionId, sha256s),
    put: (contents) => blobs.putBytes(sessionId, contents),
    get: (sha256) => blobs.getBytes(sessionId, sha256),
  };
}

/** A snapshot as another session has it. */
export interface CopiedSnapshot {
  /** Bytes of all files. */
  readonly bytes: number;
  /** What the copy takes up, where contents are not shared as links. */
  readonly addedBytes: number;
}

/** Gives a session's snapshot to another one, whole. Undefined where not all of it is there. Idempotent. */
export async function copySnapshot(
  blobs: Blobs,
  id: string,
  { fromId, toId }: { readonly fromId: string; readonly toId: string },
): Promise<CopiedSnapshot | undefined> {
  if (!(await blobs.has(fromId, [id])).has(id)) return undefined;
  const manifest = readManifest(Buffer.from(await blobs.getBytes(fromId, id)).toString('utf8'));
  const all = [...manifest.objects.keys(), id];
  await blobs.copy(fromId, toId, all);
  // The other session may have been deleted in the middle.
  const there = await blobs.has(toId, all);
  return there.size === new Set(all).size
    ? { bytes: manifest.bytes, addedBytes: sizeOf(manifest) }
    : undefined;
}

function sizeOf({ objects, text }: Manifest): number {
  return [...objects.values()].reduce((sum, size) => sum + size, Buffer.byteLength(text));
}
