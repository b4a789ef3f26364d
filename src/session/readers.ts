/** The readers of this process: one a session, kept while it is in use. */
import { LRUCache } from 'lru-cache';
import { LogReplacedError, type SessionView } from '../session.ts';
import type { LogCursor } from './cursor.ts';
import { createKeptLog, type ReadBack } from './kept-log.ts';
import { createReader, type Reader } from './reader.ts';

/** A reader that has read something. */
export type LoadedReader = Reader & { readonly view: SessionView };

/** The readers. */
export interface Readers {
  readerOf(id: string): Reader;
  /** The reader, read up to now. */
  synced(id: string): Promise<LoadedReader>;
  /** The reader as it is when somebody follows it anyway, else read up to now. */
  live(id: string): Promise<LoadedReader>;
  forget(id: string): void;
}

const READERS_KEPT = 1000;

/** Makes the readers of a process. Without an archive they keep all that they read. */
export function createReaders(
  cursorOf: (id: string) => LogCursor,
  archiveOf: (id: string) => ReadBack | undefined = () => undefined,
): Readers {
  const readers = new LRUCache<string, Reader>({ max: READERS_KEPT });

  function readerOf(id: string): Reader {
    const known = readers.get(id);
    if (known) return known;
    const reader = createReader(cursorOf(id), createKeptLog(archiveOf(id)));
    readers.set(id, reader);
    return reader;
  }

  /** The reader, read up to now. One that fails is dropped, so that the next reader starts afresh. */
  async function synced(id: string): Promise<LoadedReader> {
    const reader = readerOf(id);
    try {
      await reader.sync();
    } catch (error) {
      readers.delete(id);
      if (error instanceof LogReplacedError) return synced(id);
      throw error;
    }
    return reader as LoadedReader;
  }

  async function live(id: string): Promise<LoadedReader> {
    const reader = readerOf(id);
    return reader.view && reader.isLive() ? (reader as LoadedReader) : synced(id);
  }

  return { readerOf, synced, live, forget: (id) => void readers.delete(id) };
}
