/** Stores of the log engine in tests: any number of them, as in as many processes, on one database. */
import type { DatabasePlace } from '../../src/config.ts';
import { RUN_LIMITS } from '../../src/loop/run-limits.ts';
import { openLogStore } from '../../src/engine/log/open.ts';
import type { LogStore } from '../../src/engine/log/store.ts';
import { createTestDatabase, execute, type DatabaseKind } from './database.ts';

/** A database with stores on it. */
export interface LogDatabase {
  /** Opens one more store. It is closed with the database. */
  open(): Promise<LogStore>;
  /** Has a harness taken for dead, at once and whether it is or not, until it is heard of again. */
  silence(holder: string): Promise<void>;
  close(): Promise<void>;
}

/** Makes a database. */
export async function createLogDatabase(kind: DatabaseKind): Promise<LogDatabase> {
  const { place, remove } = await createTestDatabase(kind);
  const stores: LogStore[] = [];
  return {
    async open() {
      const store = await openLogStore(configOf(place), `process-${stores.length + 1}`);
      stores.push(store);
      return store;
    },
    silence: (holder) => execute(place, `delete from harnesses where id = '${holder}'`),
    async close() {
      for (const store of stores) await store.close().catch(() => undefined);
      await remove();
    },
  };
}

/** What a store on a database is opened with. */
export function configOf(database: DatabasePlace) {
  const temporal = { address: undefined, namespace: '', taskQueue: '', runs: RUN_LIMITS };
  return { engine: 'log', dataDir: '', database, temporal } as const;
}
