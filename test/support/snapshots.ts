/** What suites about snapshots share: a store in memory. */
import { sha256Of, type SnapshotStore } from '../../src/snapshot.ts';

/** A store, and what it was given. */
export interface MemoryStore extends SnapshotStore {
  readonly contents: ReadonlyMap<string, Uint8Array>;
  /** Names of what was put, again and again if it was. */
  readonly puts: string[];
}

/** Makes a store that checks what its port says: nothing has to be put twice. */
export function createMemoryStore(): MemoryStore {
  const contents = new Map<string, Uint8Array>();
  const puts: string[] = [];
  return {
    contents,
    puts,
    has: async (sha256s) => new Set(sha256s.filter((sha256) => contents.has(sha256))),
    async put(some) {
      for (const content of some) {
        const sha256 = sha256Of(content);
        puts.push(sha256);
        contents.set(sha256, Uint8Array.from(content));
      }
    },
    async get(sha256) {
      const content = contents.get(sha256);
      if (content === undefined) throw new Error(`${sha256} is missing`);
      return content;
    },
  };
}
