/** The session port over an engine's backend: packing, reading, and what a refused write means. */
import type { Blobs } from '../blobs.ts';
import type { Draft, Entry } from '../log.ts';
import { SessionGoneError, SessionStoppedError, SessionTerminatedError, type Sessions } from '../session.ts';
import { settle, type ArchivedCarrier, type WrittenCarrier } from './archive.ts';
import { LogClosedError, type Backend } from './backend.ts';
import { selectEvents, selectSlice } from './listing.ts';
import { pack, unpackAll } from './pack.ts';
import type { Reader } from './reader.ts';
import type { Readers } from './readers.ts';
import { createSends } from './sends.ts';
import { tail } from './tail.ts';

const VISIBLE_WITHIN_MS = 2000;
const THERE_WITHIN_MS = 30_000;

/** What the port is made of. `readers` read by cursors of the backend. */
export interface SessionsDeps {
  readonly backend: Backend;
  readonly readers: Readers;
  readonly blobs: Blobs;
  /** Makes a session whose log begins with these carriers. */
  readonly begin: (id: string, carriers: readonly ArchivedCarrier[], isAwake: boolean) => Promise<void>;
}

/** Makes the session port. */
export function createSessions({ backend, readers, blobs, begin }: SessionsDeps): Sessions {
  const { readerOf, synced, live, forget } = readers;
  const sends = createSends();

  async function packFor(id: string, drafts: readonly Draft[]): Promise<Draft[]> {
    return pack(drafts, (text) => blobs.put(id, text));
  }

  async function refusalOf(id: string): Promise<Error> {
    const { view } = await synced(id);
    return view.terminatedAt === null
      ? new SessionStoppedError(
          `the workflow of session ${id} was stopped outside of Drover; its events can still be read`,
        )
      : new SessionTerminatedError(`session ${id} is terminated`);
  }

  async function orRefused(id: string, write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      if (error instanceof LogClosedError) throw await refusalOf(id);
      throw error;
    }
  }

  async function write(id: string, drafts: readonly Draft[]): Promise<Entry[]> {
    const reader = readerOf(id);
    const from = reader.entries.length;
    const packed = await packFor(id, drafts);
    await orRefused(id, () => backend.emit(id, packed));
    const ids = drafts.flatMap((draft) => ('event' in draft ? [draft.event.id] : []));
    const visible = await reader.until(
      () => ids.every((own) => reader.has(own)),
      AbortSignal.timeout(VISIBLE_WITHIN_MS),
    );
    if (!visible && reader.closed) throw await refusalOf(id);
    return firstForms(reader.entries, drafts, from);
  }

  return {
    async create(id, seed) {
      const created = await packFor(id, [{ event: seed.created }]);
      await backend.start(id, seed, { created, initial: await packFor(id, seed.initial) });
    },

    async createFrom(id, carriers, isAwake) {
      const packed: WrittenCarrier[] = [];
      for (const carrier of carriers) packed.push({ ...carrier, drafts: await packFor(id, carrier.drafts) });
      await begin(id, settle(packed), isAwake);
    },

    emitEvent: (id, drafts) => sends.admit(id, { drafts, known: readerOf(id) }, () => write(id, drafts)),

    async getEvents(id, slice = {}) {
      const reader =
        slice.throughId === undefined ? await synced(id) : await readThrough(readerOf(id), slice.throughId);
      return unpackAll(blobs, id, selectSlice(reader.entries, slice));
    },

    async listEvents(id, query) {
      const { entries } = await synced(id);
      const page = selectEvents(entries, query);
      return { ...page, entries: await unpackAll(blobs, id, page.entries) };
    },

    async getSession(id, freshness) {
      return (await (freshness === 'live' ? live(id) : synced(id))).view;
    },

    async follow(id, signal, position) {
      const reader = await live(id);
      const from = position ?? reader.entries.length;
      return { from, entries: tail(reader, from, signal, (entries) => unpackAll(blobs, id, entries)) };
    },

    async wake(id) {
      await orRefused(id, () => backend.wake(id));
    },

    async remove(id) {
      await backend.remove(id);
      await blobs.removeAll(id);
      forget(id);
    },
  };
}

async function readThrough(reader: Reader, id: string): Promise<Reader> {
  await reader.until(() => reader.has(id), AbortSignal.timeout(THERE_WITHIN_MS));
  if (!reader.has(id)) throw new SessionGoneError(`the log has no event ${id}`);
  return reader;
}

/** The events just sent, as they were when they came in. What is not visible yet is queued. */
function firstForms(entries: readonly Entry[], drafts: readonly Draft[], from: number): Entry[] {
  return drafts.flatMap((draft) => {
    if (!('event' in draft)) return [];
    const found = entries.find(({ event, position }) => position >= from && event.id === draft.event.id);
    const stamp = found?.event.processed_at ?? null;
    return [{ position: found?.position ?? -1, event: { ...draft.event, processed_at: stamp } }];
  });
}
