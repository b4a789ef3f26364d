/** Taking away what a server stores its state in, for a while. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { isAlive } from '../bench/processes.ts';
import type { Server } from '../server.ts';
import type { Service } from './services.ts';
import { sqliteFiles } from './store.ts';

/** What can be taken away. */
export type OutageName = 'temporal' | 'postgres' | 'sqlite';

/** One thing that can be taken away and given back. */
export interface Outage {
  readonly name: OutageName;
  begin(): Promise<void>;
  /** Resolves when it is there again. */
  end(): Promise<void>;
}

const BUSY_MS = 10_000;
const POLL_MS = 20;

/** Makes the outages of a server. */
export function createOutages(
  names: readonly OutageName[],
  server: Server,
  services: readonly Service[],
): Outage[] {
  return names.map((name) => {
    const service = services.find((one) => one.name === name);
    if (service) return { name, begin: () => service.kill(), end: () => service.restart() };
    return name === 'sqlite' ? lockedFiles(server.dataDir) : embeddedTemporal(server);
  });
}

/** Killed, and the supervisor held so that it does not start it again. */
function embeddedTemporal(server: Server): Outage {
  let old = 0;
  return {
    name: 'temporal',
    async begin() {
      process.kill(await server.pid('supervisor'), 'SIGSTOP');
      old = await server.pid('temporal');
      process.kill(old, 'SIGKILL');
    },
    async end() {
      process.kill(await server.pid('supervisor'), 'SIGCONT');
      while ((await server.pid('temporal')) === old || !(await isAlive(await server.pid('temporal'))))
        await pause(POLL_MS);
    },
  };
}

/** Another process holds the write lock of every SQLite file that Drover itself has open. */
function lockedFiles(dataDir: string): Outage {
  let held: DatabaseSync[] = [];
  return {
    name: 'sqlite',
    async begin() {
      // Temporal's own file is nobody else's business: its outage is that of the server.
      const files = (await sqliteFiles(dataDir)).filter((name) => name !== 'temporal.db');
      for (const file of files) {
        const database = new DatabaseSync(join(dataDir, file), { timeout: BUSY_MS });
        held.push(database);
        database.exec('begin exclusive');
      }
    },
    async end() {
      for (const database of held) database.close();
      held = [];
    },
  };
}
