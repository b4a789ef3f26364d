/** Secrets in files that only their owner can read: those that Drover makes for itself, and those that it passes on. */
import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

const SECRET_BYTES = 32;

/**
 * Gives the secret in `file`, which is made first where it is missing. Processes that do this at once all get the
 * same one: a link, unlike a rename, never replaces what another made.
 */
export async function ensureSecretFile(file: string, prefix = ''): Promise<string> {
  const known = await readSecret(file);
  if (known !== undefined) return known;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const draft = await writeDraft(file, `${prefix}${randomBytes(SECRET_BYTES).toString('base64url')}`);
  try {
    await link(draft, file);
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
  } finally {
    await rm(draft);
  }
  const made = await readSecret(file);
  if (made === undefined) throw new Error(`${file} is empty; remove it`);
  return made;
}

/** Keeps a secret that was given for the processes that may know it; replaces what was in `file`. */
export async function writeSecretFile(file: string, secret: string): Promise<void> {
  await rename(await writeDraft(file, secret), file);
}

async function writeDraft(file: string, secret: string): Promise<string> {
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  await writeFile(draft, `${secret}\n`, { mode: 0o600, flag: 'wx' });
  return draft;
}

async function readSecret(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim() || undefined;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
