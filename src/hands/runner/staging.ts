/** Contents of files on their way into a hand: beside the workspace, under their SHA-256, until all of them are there. */
import { randomUUID } from 'node:crypto';
import { mkdir, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { NoSnapshotError } from '../../snapshot.ts';
import type { StagedPiece } from './protocol.ts';

/** What came over one line. */
export interface Staging {
  write(pieces: readonly StagedPiece[]): Promise<void>;
  /** Throws NoSnapshotError where content has not come whole. */
  require(sha256: string, size: number): Promise<void>;
  pathOf(sha256: string): string;
  /** Idempotent. */
  remove(): Promise<void>;
}

const PREFIX = 'staging-';

/** Whether a folder in the runner's own one is such a place. */
export function isStagingFolder(name: string): boolean {
  return name.startsWith(PREFIX);
}

/** Makes a place in the runner's own folder; it is there when something comes. */
export function createStaging(state: string): Staging {
  const folder = join(state, `${PREFIX}${randomUUID()}`);
  const pathOf = (sha256: string): string => join(folder, sha256);
  return {
    pathOf,
    async write(pieces) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      for (const { sha256, from, data } of pieces) {
        // Not 'w': later pieces must not cut off earlier ones.
        const file = await open(pathOf(sha256), from === 0 ? 'w' : 'r+', 0o600);
        try {
          const content = Buffer.from(data, 'base64');
          await file.write(content, 0, content.length, from);
        } finally {
          await file.close();
        }
      }
    },
    async require(sha256, size) {
      const there = await stat(pathOf(sha256)).catch(() => undefined);
      if (there?.size !== size) throw new NoSnapshotError(`content ${sha256} has not come whole`);
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
