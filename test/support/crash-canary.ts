/** Looking for a secret where none may be: in files, in the environment and the memory of processes. */
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A secret under all the names that it may go by. */
export interface Canary {
  readonly name: string;
  readonly forms: readonly Buffer[];
}

/** A thing that was looked through, and the canaries that were found in it. */
export type Finding = string;

const CHUNK_BYTES = 4 * 1024 * 1024;
const OVERLAP_BYTES = 512;

/** Makes a canary of a secret: as it is, and as encodings would have it. */
export function toCanary(name: string, secret: string): Canary {
  const bytes = Buffer.from(secret);
  // The first and last characters of an encoded text depend on what stands around it.
  const inBase64 = [0, 1, 2].map((shift) => {
    const encoded = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replaceAll('=', '');
    return encoded.slice(shift === 0 ? 0 : shift + 1, -1);
  });
  const encoded = [secret, bytes.toString('hex'), ...inBase64];
  return { name, forms: encoded.map((text) => Buffer.from(text)) };
}

/** The names of the canaries that are in there. */
export function findIn(bytes: Buffer, canaries: readonly Canary[]): string[] {
  return canaries.filter(({ forms }) => forms.some((form) => bytes.includes(form))).map(({ name }) => name);
}

/** Looks through every file below a folder, except those that `skip` names. */
export async function findInFolder(
  folder: string,
  canaries: readonly Canary[],
  skip: readonly string[] = [],
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || skip.includes(path) || path.includes('/node_modules/')) continue;
    const found = findIn(await readFile(path), canaries);
    if (found.length > 0) findings.push(`${path}: ${found.join(', ')}`);
  }
  return findings;
}

/** Looks through the environment and the command line of a process. */
export async function findInProcess(pid: number, canaries: readonly Canary[]): Promise<string[]> {
  const parts = await Promise.all(['environ', 'cmdline'].map((name) => readFile(`/proc/${pid}/${name}`)));
  return findIn(Buffer.concat(parts), canaries);
}

/** Looks through what a process has in its memory now; undefined where the system does not let us. */
export async function findInMemory(pid: number, canaries: readonly Canary[]): Promise<string[] | undefined> {
  const memory = await open(`/proc/${pid}/mem`, 'r').catch(() => undefined);
  if (memory === undefined) return undefined;
  const found = new Set<string>();
  try {
    for (const [from, to] of await regionsOf(pid)) {
      for (const { at, length } of chunks(from, to)) {
        const buffer = Buffer.alloc(length);
        // A region may be gone by now.
        const { bytesRead } = await memory.read(buffer, 0, length, at).catch(() => ({ bytesRead: 0 }));
        for (const name of findIn(buffer.subarray(0, bytesRead), canaries)) found.add(name);
      }
    }
  } finally {
    await memory.close();
  }
  return [...found];
}

/** Regions that are written to and really there. */
async function regionsOf(pid: number): Promise<(readonly [number, number])[]> {
  const regions: (readonly [number, number])[] = [];
  let region: readonly [number, number] | undefined;
  for (const line of (await readFile(`/proc/${pid}/smaps`, 'utf8')).split('\n')) {
    const head = /^(?<from>[0-9a-f]+)-(?<to>[0-9a-f]+) rw/.exec(line)?.groups;
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line))
      region = head && [Number(`0x${head['from']}`), Number(`0x${head['to']}`)];
    const resident = /^Rss: +(?<kilobytes>\d+) kB/.exec(line)?.groups?.['kilobytes'];
    if (region !== undefined && resident !== undefined && resident !== '0') regions.push(region);
  }
  return regions;
}

/** Pieces that overlap, so that nothing hides on a border. */
function* chunks(from: number, to: number): Generator<{ at: number; length: number }> {
  for (let at = from; at < to; at += CHUNK_BYTES)
    yield { at, length: Math.min(CHUNK_BYTES + OVERLAP_BYTES, to - at) };
}
