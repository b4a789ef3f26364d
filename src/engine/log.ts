/** The log engine: sessions are logs in a database, and harnesses lease them. */
import type { EngineDeps, LogPart } from '../engine.ts';
import { newId } from '../id.ts';
import { withKillPoints } from '../kill-point.ts';
import { createLogBackend } from './log/backend.ts';
import { createChanges } from './log/changes.ts';
import { startHarness } from './log/harness.ts';
import { createHomes } from './log/homes.ts';
import { openLogStore } from './log/open.ts';
import type { LogStore } from './log/store.ts';

/** Opens the engine on the configured database. */
export async function openLogEngine(deps: EngineDeps): Promise<LogPart> {
  const store = await openLogStore(deps.config, deps.notices.origin);
  return createLogEngine(withKillPoints(deps.killPoint, store, { append: 'append' }), deps);
}

/** Makes the engine on a store. Closing it closes the store. */
export function createLogEngine(
  store: LogStore,
  { blobs, notices }: Pick<EngineDeps, 'blobs' | 'notices'>,
): LogPart {
  const changes = createChanges(notices);
  const backend = createLogBackend({ store, changes, blobs });
  return {
    homes: createHomes(store, changes),
    backendAt: () => backend,
    check: () => store.check(),
    work: async ({ operations, readers, log }) =>
      startHarness({
        store,
        operations,
        changes,
        log,
        readerOf: (id) => readers.readerOf(id),
        forget: (id) => readers.forget(id),
        newId: () => newId('sevt'),
        wrote(id, carrier) {
          if (carrier) backend.tell(id, carrier);
          changes.announce(id, 'byHarness');
        },
      }),
    async close() {
      changes.close();
      await store.close();
    },
  };
}
