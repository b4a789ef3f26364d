/** One holder at a time, across processes. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const SQLITE_BUSY = 5;

/** A lock that is held. The operating system frees it when its process dies, however that dies. */
export interface Lock {
  release(): void;
}

/**
 * Takes the lock on `file`, or gives undefined when another process holds it. SQLite's file lock does the work: unlike
 * a file with a pid in it, it cannot be stale.
 */
export function tryLock(file: string): Lock | undefined {
  mkdirSync(dirname(file), { recursive: true });
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return undefined;
    throw error;
  }
  return { release: () => database.close() };
}
