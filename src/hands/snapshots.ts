/**
 * Snapshots of a hand's workspace, over its runner's line and for every kind of hand alike. The runner is in the
 * sandbox and may say anything: its manifest is checked, and so is the hash of every content that it gives.
 */
import {
  NoSnapshotError,
  quote,
  readManifest,
  sha256Of,
  type Manifest,
  type Snapshot,
  type SnapshotStore,
} from '../snapshot.ts';
import type { RemoteFiles } from './connection.ts';
import type { Piece, StagedPiece } from './runner/protocol.ts';

/** A snapshot that the store has. */
export type KnownSnapshot = Pick<Snapshot, 'id' | 'bytes'>;

/** What is moved, and where to. */
export interface Transfer {
  readonly files: RemoteFiles;
  readonly store: SnapshotStore;
  readonly signal: AbortSignal;
}

/** In one message, and in one write to the store. */
const BATCH_BYTES = 2 * 2 ** 20;
const BATCH_CONTENTS = 500;
/** How often files may change under our eyes. */
const MOST_LOOKS = 3;

/**
 * Takes a snapshot: when this resolves, the store has all of it. `known`: the last one that it was given, which costs
 * less to find unchanged.
 *
 * @throws {NoSnapshotError} when the workspace is too much, cannot be read, or does not hold still
 */
export async function takeSnapshot(transfer: Transfer, known: KnownSnapshot | undefined): Promise<Snapshot> {
  for (let looks = 1; ; looks += 1) {
    transfer.signal.throwIfAborted();
    const { takenUs, manifest: text } = await transfer.files.look(known?.id);
    if (text === undefined) {
      if (known === undefined) throw new NoSnapshotError('the sandbox gave no list of its files');
      return { ...known, addedBytes: 0, takenUs };
    }
    const manifest = readManifest(text);
    const kept = await keep(transfer, manifest);
    if (!('changed' in kept))
      return { id: manifest.id, bytes: manifest.bytes, addedBytes: kept.addedBytes, takenUs };
    if (looks === MOST_LOOKS)
      throw new NoSnapshotError(`${quote(kept.changed)} changes all the time: something writes to it`);
  }
}

/**
 * Makes a hand's workspace what it was in a snapshot. Safe to repeat. A hand in which a call has run refuses.
 *
 * @throws when the store does not have all of it, or the hand refuses
 */
export async function restoreSnapshot({ files, store, signal }: Transfer, id: string): Promise<void> {
  const manifest = readManifest(Buffer.from(await store.get(id)).toString('utf8'));
  let pieces: StagedPiece[] = [];
  let held = 0;
  const send = async (): Promise<void> => {
    signal.throwIfAborted();
    await files.stage(pieces);
    [pieces, held] = [[], 0];
  };
  for (const sha256 of manifest.objects.keys()) {
    const content = Buffer.from(await store.get(sha256));
    for (let from = 0; from < content.length; from += BATCH_BYTES) {
      const part = content.subarray(from, from + BATCH_BYTES);
      pieces.push({ sha256, from, data: part.toString('base64') });
      held += part.length;
      if (held >= BATCH_BYTES || pieces.length === BATCH_CONTENTS) await send();
    }
  }
  if (pieces.length > 0) await send();
  signal.throwIfAborted();
  await files.lay(manifest.text);
}

/** Has the store keep what it lacks. The manifest comes last: where it is kept, all that it names is. */
async function keep(
  transfer: Transfer,
  manifest: Manifest,
): Promise<{ readonly addedBytes: number } | { readonly changed: string }> {
  const { store } = transfer;
  const there = await store.has([manifest.id, ...manifest.objects.keys()]);
  if (there.has(manifest.id)) return { addedBytes: 0 };
  let addedBytes = 0;
  for (const batch of toBatches(manifest, there)) {
    transfer.signal.throwIfAborted();
    const contents = await fetchAll(transfer, batch);
    if ('changed' in contents) return contents;
    await store.put(contents.contents);
    addedBytes += batch.reduce((sum, { size }) => sum + size, 0);
  }
  const text = Buffer.from(manifest.text);
  await store.put([text]);
  return { addedBytes: addedBytes + text.length };
}

/** Content that is to be fetched from one of the files that have it. */
interface Wanted {
  readonly path: string;
  readonly sha256: string;
  readonly size: number;
}

/** Small contents together, large ones alone. */
function toBatches({ entries, objects }: Manifest, there: ReadonlySet<string>): Wanted[][] {
  const wanted = new Map<string, Wanted>();
  for (const entry of entries) {
    if (entry.kind !== 'file' || there.has(entry.sha256) || !objects.has(entry.sha256)) continue;
    wanted.set(entry.sha256, entry);
  }
  const batches: Wanted[][] = [];
  let held = Number.POSITIVE_INFINITY;
  for (const one of wanted.values()) {
    const last = batches.at(-1);
    if (last === undefined || held + one.size > BATCH_BYTES || last.length === BATCH_CONTENTS) {
      batches.push([one]);
      held = one.size;
    } else {
      last.push(one);
      held += one.size;
    }
  }
  return batches;
}

async function fetchAll(
  { files, signal }: Transfer,
  batch: readonly Wanted[],
): Promise<{ readonly contents: readonly Buffer[] } | { readonly changed: string }> {
  const [first] = batch;
  const whole =
    batch.length === 1 && first !== undefined
      ? [await fetchOne(files, first, signal)]
      : await files.fetch(batch.map(({ path, size }) => ({ path, from: 0, length: size })));
  const contents: Buffer[] = [];
  for (const [at, { path, sha256, size }] of batch.entries()) {
    const content = whole[at];
    if (content?.length !== size || sha256Of(content) !== sha256) return { changed: path };
    contents.push(content);
  }
  return { contents };
}

/** Content that may be too much for one message. */
async function fetchOne(files: RemoteFiles, { path, size }: Wanted, signal: AbortSignal): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let from = 0; from < size; from += BATCH_BYTES) {
    signal.throwIfAborted();
    const piece: Piece = { path, from, length: Math.min(BATCH_BYTES, size - from) };
    const [part] = await files.fetch([piece]);
    if (part?.length !== piece.length) break;
    parts.push(part);
  }
  return Buffer.concat(parts);
}
