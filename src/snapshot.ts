/**
 * Snapshots of the files that a hand works on, as content under hashes: a manifest names each file by its SHA-256, and
 * a snapshot's id is the SHA-256 of its manifest. Shared by the runner, which makes and lays out manifests, and by those
 * who keep them. What comes out of a hand is not trusted: `readManifest` takes only what cannot reach out of a folder.
 */
import { createHash } from 'node:crypto';

/** What a workspace may have for a snapshot to be taken. */
export const SNAPSHOT_LIMITS = {
  /** Files, folders and links in all. */
  entries: 20_000,
  /** All files together. */
  bytes: 256 * 2 ** 20,
  /** One file: it is held in memory whole while it is kept. */
  fileBytes: 64 * 2 ** 20,
  /** The manifest itself. Twice as much, escaped, must fit into one message of a runner. */
  manifestBytes: 6 * 2 ** 20,
  /** What the snapshots of one session may take up in all. */
  sessionBytes: 2 * 2 ** 30,
} as const;

/** The tools of a hand that only look at files. */
const READING_TOOLS: ReadonlySet<string> = new Set(['read', 'glob', 'grep']);

const LONGEST_PATH_BYTES = 4095;
const LONGEST_NAME_BYTES = 255;
const EMPTY_SHA256 = sha256Of('');

/** A file, folder or symbolic link. `path` is relative to the workspace; `mode` has the nine permission bits. */
export type ManifestEntry =
  | { readonly path: string; readonly kind: 'dir'; readonly mode: number }
  | {
      readonly path: string;
      readonly kind: 'file';
      readonly mode: number;
      readonly size: number;
      readonly sha256: string;
    }
  | { readonly path: string; readonly kind: 'symlink'; readonly target: string };

/** A manifest that was read and found good. */
export interface Manifest {
  /** Its SHA-256, which is the snapshot's id. */
  readonly id: string;
  readonly text: string;
  /** By path, so that a folder comes before what is in it. */
  readonly entries: readonly ManifestEntry[];
  /** Bytes of all files. */
  readonly bytes: number;
  /** The contents that the files have, each once: SHA-256 to bytes. Empty ones need not be kept. */
  readonly objects: ReadonlyMap<string, number>;
}

/** A snapshot that was taken and kept. */
export interface Snapshot {
  readonly id: string;
  /** Bytes of all files in it. */
  readonly bytes: number;
  /** Bytes that had to be kept for it: contents that were not there before, and its manifest. */
  readonly addedBytes: number;
  /** When the runner began to look, in microseconds by the hand's own clock; later looks have greater numbers. */
  readonly takenUs: number;
}

/** Keeps what a session's snapshots are made of, under their SHA-256. */
export interface SnapshotStore {
  /** Which of these it has. */
  has(sha256s: readonly string[]): Promise<ReadonlySet<string>>;
  /** Keeps contents durably: all of them when this resolves. What is there already is not kept twice. */
  put(contents: readonly Uint8Array[]): Promise<void>;
  /** Throws when it is missing, or is not what its name says. */
  get(sha256: string): Promise<Uint8Array>;
}

/** There is no snapshot to be had. The message says why, in words for whoever wants to fork the session. */
export class NoSnapshotError extends Error {
  override readonly name = 'NoSnapshotError';
}

/** Whether a tool of a hand may change files. */
export function mayChangeFiles(toolName: string): boolean {
  return !READING_TOOLS.has(toolName);
}

/** The name of content. */
export function sha256Of(content: Uint8Array | string): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Entries as a manifest: the same files always give the same text. */
export function toManifest(entries: readonly ManifestEntry[]): string {
  const sorted = entries.toSorted((left, right) => (left.path < right.path ? -1 : 1));
  return JSON.stringify({ version: 1, entries: sorted.map(inOrder) });
}

/**
 * Reads a manifest that somebody else has written.
 *
 * @throws {NoSnapshotError} for what is none, for paths that lead out of the workspace or through a link, and for more
 *   than the limits allow
 */
export function readManifest(text: string): Manifest {
  requireManifestWithinLimits(text);
  const entries = parseEntries(text);
  if (entries === undefined || toManifest(entries) !== text)
    throw new NoSnapshotError('the sandbox gave a list of files that is none');
  requireTree(entries);
  return { id: sha256Of(text), text, entries, ...sumUp(entries) };
}

/** Throws NoSnapshotError for a manifest that is too long, whatever is in it. */
export function requireManifestWithinLimits(text: string): void {
  if (Buffer.byteLength(text) > SNAPSHOT_LIMITS.manifestBytes)
    throw new NoSnapshotError('the list of its files is too long');
}

/** Throws NoSnapshotError for more files, or larger ones, than a snapshot may have. */
export function requireWithinLimits({
  entries,
  bytes,
}: {
  readonly entries: number;
  readonly bytes: number;
}): void {
  if (entries > SNAPSHOT_LIMITS.entries)
    throw new NoSnapshotError(`the workspace has more than ${SNAPSHOT_LIMITS.entries} files and folders`);
  if (bytes > SNAPSHOT_LIMITS.bytes)
    throw new NoSnapshotError(`the workspace has more than ${inMebibytes(SNAPSHOT_LIMITS.bytes)}`);
}

/** Throws NoSnapshotError for a file that is too large. */
export function requireFileWithinLimits(path: string, size: number): void {
  if (size > SNAPSHOT_LIMITS.fileBytes)
    throw new NoSnapshotError(`${quote(path)} is larger than ${inMebibytes(SNAPSHOT_LIMITS.fileBytes)}`);
}

/** A path as a reason shows it: short, on one line. */
export function quote(path: string): string {
  return JSON.stringify(path.length > 200 ? `${path.slice(0, 200)}…` : path);
}

/** Whether a path stays below the folder that it is relative to, links aside. */
export function isInside(path: string): boolean {
  if (path.includes('\0') || !path.isWellFormed() || Buffer.byteLength(path) > LONGEST_PATH_BYTES)
    return false;
  return path.split('/').every((name) => !['', '.', '..'].includes(name) && isName(name));
}

function isName(name: string): boolean {
  return Buffer.byteLength(name) <= LONGEST_NAME_BYTES;
}

/** Folders before what is in them, each once; nothing stands below a file or a link. */
function requireTree(entries: readonly ManifestEntry[]): void {
  const folders = new Set(['']);
  let last: string | undefined;
  for (const { path, kind } of entries) {
    if (!isInside(path)) throw new NoSnapshotError(`${quote(path)} is no path in the workspace`);
    if (path === last) throw new NoSnapshotError(`${quote(path)} is there twice`);
    if (!folders.has(path.slice(0, Math.max(0, path.lastIndexOf('/')))))
      throw new NoSnapshotError(`${quote(path)} is not in a folder`);
    if (kind === 'dir') folders.add(path);
    last = path;
  }
}

function sumUp(entries: readonly ManifestEntry[]): Pick<Manifest, 'bytes' | 'objects'> {
  const objects = new Map<string, number>();
  let bytes = 0;
  for (const entry of entries) {
    if (entry.kind !== 'file') continue;
    requireFileWithinLimits(entry.path, entry.size);
    const known = entry.size === 0 ? undefined : objects.get(entry.sha256);
    if ((known ?? entry.size) !== entry.size || (entry.size === 0) !== (entry.sha256 === EMPTY_SHA256))
      throw new NoSnapshotError(`${quote(entry.path)} has a size that its content cannot have`);
    if (entry.size > 0) objects.set(entry.sha256, entry.size);
    bytes += entry.size;
  }
  requireWithinLimits({ entries: entries.length, bytes });
  return { bytes, objects };
}

function parseEntries(text: string): ManifestEntry[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const list = (value as { entries?: unknown } | null)?.entries;
  if (!Array.isArray(list) || !list.every(isEntry)) return undefined;
  return list;
}

function isEntry(value: unknown): value is ManifestEntry {
  if (typeof value !== 'object' || value === null) return false;
  const { path, kind, mode, size, sha256, target } = value as Record<string, unknown>;
  if (typeof path !== 'string') return false;
  if (kind === 'symlink')
    return typeof target === 'string' && target !== '' && !target.includes('\0') && target.isWellFormed();
  if (!isNumberUpTo(mode, 0o777)) return false;
  if (kind === 'dir') return true;
  return (
    kind === 'file' &&
    isNumberUpTo(size, Number.MAX_SAFE_INTEGER) &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256)
  );
}

function isNumberUpTo(value: unknown, most: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most;
}

/** An entry with its properties in the one order that there is, and no others. */
function inOrder(entry: ManifestEntry): ManifestEntry {
  const { path, kind } = entry;
  switch (kind) {
    case 'dir':
      return { path, kind, mode: entry.mode };
    case 'file':
      return { path, kind, mode: entry.mode, size: entry.size, sha256: entry.sha256 };
    case 'symlink':
      return { path, kind, target: entry.target };
  }
}

function inMebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
