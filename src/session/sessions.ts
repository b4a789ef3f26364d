/** The session port over an engine's backend: packing, reading, and what a refused write means. */
import type { Blobs } from '../blobs.ts';
import type { Draft, Entry } from '../log.ts';
import { SessionGoneError, SessionStoppedError, SessionTerminatedError, type Sessions } from '../session.ts';
import { formatMicros } from '../wire/time.ts';
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
    const from = reader.index.length;
    const packed = await packFor(id, drafts);
    await orRefused(id, () => backend.emit(id, packed));
    const ids = drafts.flatMap((draft) => ('event' in draft ? [draft.event.id] : []));
    const visible = await reader.until(
      () => ids.every((own) => reader.has(own)),
      AbortSignal.timeout(VISIBLE_WITHIN_MS),
    );
    if (!visible && reader.closed) throw await refusalOf(id);
    return firstForms(reader, drafts, from);
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
      const { throughId } = slice;
      const reader = throughId === undefined ? await synced(id) : readerOf(id);
      const through = throughId === undefined ? undefined : await readThrough(reader, throughId);
      return unpackAll(blobs, id, await reader.at(selectSlice(reader.index, slice, through)));
    },

    async listEvents(id, query) {
      const reader = await synced(id);
      const { positions, next } = selectEvents(reader.index, query);
      return { entries: await unpackAll(blobs, id, await reader.at(positions)), next };
    },

    async getSession(id, freshness) {
      return (await (freshness === 'live' ? live(id) : synced(id))).view;
    },

    async follow(id, signal, position) {
      const reader = await live(id);
      const from = position ?? reader.index.length;
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

/** Waits for an event, and answers where it is. One that has been read long ago is looked for only where it is awaited in vain. */
async function readThrough(reader: Reader, id: string): Promise<number> {
  if (!reader.has(id)) {
    const old = await reader.positionOf(id);
    if (old !== undefined) return old;
    await reader.until(() => reader.has(id), AbortSignal.timeout(THERE_WITHIN_MS));
  }
  const position = await reader.positionOf(id);
  if (position === undefined) throw new SessionGoneError(`the log has no event ${id}`);
  return position;
}

/** The events just sent, as they were when they came in, from a position on. What is not visible yet is queued. */
function firstForms(reader: Reader, drafts: readonly Draft[], from: number): Entry[] {
  return drafts.flatMap((draft) => {
    if (!('event' in draft)) return [];
    const first = reader.firstOf(draft.event.id) ?? -1;
    const position = first < from ? -1 : first;
    const timeUs = reader.index.timeUsAt(position);
    const at = timeUs === undefined ? null : formatMicros(timeUs);
    return [{ position, event: { ...draft.event, processed_at: at } }];
  });
}
