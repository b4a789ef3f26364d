/** The log engine: sessions are logs in a database, and harnesses lease them. */
import type { EngineDeps, LogPart } from '../engine.ts';
import { newId } from '../id.ts';
import { withKillPoints } from '../kill-point.ts';
import { RUN_LIMITS } from '../loop/run-limits.ts';
import { createLogBackend } from './log/backend.ts';
import { createChanges } from './log/changes.ts';
import { startHarness } from './log/harness.ts';
import { createHomes } from './log/homes.ts';
import { openLogStore } from './log/open.ts';
import { startSealing } from './log/sealing.ts';
import type { LogStore } from './log/store.ts';

/** What the engine is made of besides its store. */
export interface LogEngineDeps extends Pick<EngineDeps, 'blobs' | 'notices'> {
  /** How many entries make a segment; left out: as many as a run of Temporal has history events. */
  readonly segmentEntries?: number;
}

/** Opens the engine on the configured database. */
export async function openLogEngine({ config, killPoint, ...deps }: EngineDeps): Promise<LogPart> {
  const store = await openLogStore(config, deps.notices.origin);
  const mortal = withKillPoints(killPoint, store, { append: 'append', sealOwn: 'seal' });
  return createLogEngine(mortal, { ...deps, segmentEntries: config.temporal.runs.events });
}

/** Makes the engine on a store. Closing it closes the store. */
export function createLogEngine(
  store: LogStore,
  { blobs, notices, segmentEntries: entries = RUN_LIMITS.events }: LogEngineDeps,
): LogPart {
  const changes = createChanges(notices);
  const backend = createLogBackend({ store, changes, blobs });
  return {
    homes: createHomes(store, changes),
    backendAt: () => backend,
    check: () => store.check(),
    async work({ operations, readers, log }) {
      const sealing = startSealing({ store, entries, log });
      const harness = startHarness({
        store,
        operations,
        changes,
        log,
        readerOf: (id) => readers.readerOf(id),
        forget: (id) => readers.forget(id),
        rests: (resting, isOver) => sealing.rests(resting, isOver),
        newId: () => newId('sevt'),
        wrote(id, carrier) {
          if (carrier) backend.tell(id, carrier);
          changes.announce(id, 'byHarness');
        },
      });
      return {
        async stop() {
          await harness.stop();
          await sealing.stop();
        },
      };
    },
    async close() {
      changes.close();
      await store.close();
    },
  };
}
