/** Sessions as logs in a database: what clients do to them. Who works on them is `harness.ts`. */
import { LRUCache } from 'lru-cache';
import type { Blobs } from '../../blobs.ts';
import { LogClosedError, type Backend } from '../../session/backend.ts';
import { unpack } from '../../session/pack.ts';
import type { Changes } from './changes.ts';
import { createLogCursor, type TellableCursor } from './log-cursor.ts';
import type { CarrierRow, LogStore } from './store.ts';

/** What the backend is made of. */
export interface LogBackendDeps {
  readonly store: LogStore;
  readonly changes: Changes;
  readonly blobs: Blobs;
}

/** A backend whose cursors can be told what is written here. */
export interface LogBackend extends Backend {
  tell(sessionId: string, carrier: CarrierRow): void;
}

const CLOSED_WITHIN_MS = 5000;
const LOOK_AGAIN_MS = 50;
const CURSORS_KNOWN = 5000;

/** Makes the backend. */
export function createLogBackend({ store, changes, blobs }: LogBackendDeps): LogBackend {
  /** Their readers keep them alive, not this. */
  const cursors = new LRUCache<string, WeakRef<TellableCursor>>({ max: CURSORS_KNOWN });

  /** Waits until a harness has let the session go, or has had the time to. */
  async function untilReleased(id: string): Promise<void> {
    for (const deadline = Date.now() + CLOSED_WITHIN_MS; Date.now() < deadline;) {
      const changed = changes.next(id, LOOK_AGAIN_MS);
      const head = await store.head(id);
      if (!head || (head.holder === null && !head.due)) return;
      await changed;
    }
  }

  return {
    async start(id, _seed, { created, initial }) {
      const nowUs = Date.now() * 1000;
      const carriers: CarrierRow[] = [{ position: 0, timeUs: nowUs, author: 'server', drafts: created }];
      if (initial.length > 0)
        carriers.push({ position: 1, timeUs: nowUs + 1, author: 'client', drafts: initial });
      await store.create(id, carriers, initial.length > 0);
      changes.announce(id);
    },
    async emit(id, drafts) {
      if (!(await store.appendClient(id, drafts, Date.now() * 1000)))
        throw new LogClosedError(`session ${id} takes no events`);
      changes.announce(id);
    },
    async wake(id) {
      if (!(await store.touch(id))) throw new LogClosedError(`session ${id} is over`);
      changes.announce(id);
    },
    async remove(id) {
      await store.startClosing(id);
      changes.announce(id);
      await untilReleased(id);
      await store.remove(id);
      changes.announce(id);
    },
    cursor(id) {
      const cursor = createLogCursor(id, {
        store,
        changes,
        unpack: (entry) => unpack(entry, (ref) => blobs.get(id, ref)),
      });
      cursors.set(id, new WeakRef(cursor));
      return cursor;
    },
    tell: (id, carrier) => cursors.get(id)?.deref()?.tell(carrier),
  };
}
