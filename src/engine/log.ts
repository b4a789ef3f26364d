/** The log engine: sessions are logs in a database, and harnesses lease them. */
import type { Engine, EngineDeps } from '../engine.ts';
import { newId } from '../id.ts';
import { createReaders } from '../session/readers.ts';
import { createSessions } from '../session/sessions.ts';
import { createLogBackend } from './log/backend.ts';
import { createChanges } from './log/changes.ts';
import { startHarness } from './log/harness.ts';
import { openLogStore } from './log/open.ts';

/** Opens the engine on the configured database. */
export async function openLogEngine({ config, blobs, notices }: EngineDeps): Promise<Engine> {
  const store = await openLogStore(config, notices.origin);
  const changes = createChanges(notices);
  const backend = createLogBackend({ store, changes, blobs });
  const readers = createReaders((id) => backend.cursor(id));
  return {
    sessions: createSessions({ backend, readers, blobs }),
    check: () => store.check(),
    work: (operations, log) =>
      startHarness({
        store,
        operations,
        changes,
        log,
        readerOf: (id) => readers.readerOf(id),
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
