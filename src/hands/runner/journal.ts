/**
 * What the hand remembers of its calls, on its own disk: one file when a call starts, one when it has ended. From
 * the two, whoever asks again learns whether it ran, and what came of it.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ToolCall, ToolOutcome } from '../../hands.ts';
import { toOutcome } from './protocol.ts';

/** What the journal knows of a call. `interrupted`: it began under a runner that is gone; its effects are unknown. */
type Entry =
  | { readonly kind: 'new' }
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'finished'; readonly outcome: ToolOutcome };

/** The journal of one hand. */
export interface Journal {
  /** Whether no call has ever begun. */
  isEmpty(): Promise<boolean>;
  read(id: string): Promise<Entry>;
  /** Resolves once the start is on the disk: a call must not begin before. */
  started(call: ToolCall): Promise<void>;
  /** Appears whole or not at all. */
  finished(id: string, outcome: ToolOutcome): Promise<void>;
}

/** Opens the journal in a folder, which is made if need be. */
export async function createJournal(folder: string): Promise<Journal> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const startOf = (id: string): string => join(folder, `${toFileName(id)}.start`);
  const endOf = (id: string): string => join(folder, `${toFileName(id)}.end`);
  return {
    isEmpty: async () => (await readdir(folder)).length === 0,
    async read(id) {
      const outcome = await readOutcome(endOf(id));
      if (outcome !== undefined) return { kind: 'finished', outcome };
      return (await exists(startOf(id))) ? { kind: 'interrupted' } : { kind: 'new' };
    },
    async started(call) {
      try {
        await writeFile(startOf(call.id), JSON.stringify({ id: call.id, name: call.name }), {
          mode: 0o600,
          flush: true,
        });
        await syncFolder(folder);
      } catch (error) {
        // The call will not run, so nothing may say that it began.
        await rm(startOf(call.id), { force: true });
        throw error;
      }
    },
    async finished(id, outcome) {
      const path = endOf(id);
      await writeFile(`${path}.part`, JSON.stringify({ id, outcome }), { mode: 0o600 });
      await rename(`${path}.part`, path);
    },
  };
}

/** A name for files about a call that is safe whatever the id is. */
export function toFileName(id: string): string {
  return /^[\w-]{1,100}$/.test(id) ? id : createHash('sha256').update(id).digest('hex');
}

async function readOutcome(path: string): Promise<ToolOutcome | undefined> {
  try {
    const record: unknown = JSON.parse(await readFile(path, 'utf8'));
    return toOutcome((record as { outcome?: unknown }).outcome);
  } catch {
    // Absent, or cut short by a power failure: either way no outcome is known.
    return undefined;
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
