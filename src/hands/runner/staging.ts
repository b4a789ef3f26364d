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
  /** Removes what has come. */
  clear(): Promise<void>;
  /** The line has ended: removes what has come, and what was still on its way is not taken. */
  close(): Promise<void>;
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
  let queue: Promise<void> = Promise.resolve();
  let isClosed = false;
  /** One after another, or something would be written into the folder that is just being removed. */
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const turn = queue.then(work);
    queue = turn.catch(() => undefined);
    return turn;
  };
  const clear = (): Promise<void> => inTurn(() => rm(folder, { recursive: true, force: true }));
  return {
    pathOf,
    clear,
    write: (pieces) =>
      inTurn(async () => {
        if (isClosed) throw new NoSnapshotError('the line that it came over has ended');
        await mkdir(folder, { recursive: true, mode: 0o700 });
        for (const piece of pieces) await writePiece(pathOf(piece.sha256), piece);
      }),
    close() {
      isClosed = true;
      return clear();
    },
    async require(sha256, size) {
      const there = await stat(pathOf(sha256)).catch(() => undefined);
      if (there?.size !== size) throw new NoSnapshotError(`content ${sha256} has not come whole`);
    },
  };
}

async function writePiece(path: string, { from, data }: StagedPiece): Promise<void> {
  // Not 'w' always: later pieces must not cut off earlier ones.
  const file = await open(path, from === 0 ? 'w' : 'r+', 0o600);
  try {
    const content = Buffer.from(data, 'base64');
    await file.write(content, 0, content.length, from);
  } finally {
    await file.close();
  }
}
