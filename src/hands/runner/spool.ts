/**
 * Takes the output of one call, whatever its size, in bounded memory: short output stays whole, long output goes to
 * a file of which only the head and the tail are shown (wire-api section 7.2).
 */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** Output longer than this many characters is shown shortened. */
export const MAX_SHOWN_CHARS = 100_000;
const HEAD_CHARS = 10_000;
const TAIL_CHARS = 10_000;
/** What is kept of a runaway command's output. */
const MAX_FILE_CHARS = 64 * 1024 * 1024;

/** Colours and cursor movements, of no use to who reads the text. */
// oxlint-disable-next-line no-control-regex
const ANSI_SEQUENCES = /\u001b\[[0-9;?]*[ -/]*[@-~]/g;

/** Collects the text of one call. */
export interface Spool {
  add(text: string): void;
  /** Closes the file, if there is one, and gives what is to be shown. */
  end(): string;
}

/** Collects text that is spilled to the file at `path` once it is too long to show. */
export function createSpool(path: string): Spool {
  let whole = '';
  let head = '';
  let tail = '';
  let total = 0;
  let written = 0;
  let file: number | undefined;
  let trouble: string | undefined;

  const spill = (text: string): void => {
    tail = (tail + text).slice(-TAIL_CHARS);
    const part = text.slice(0, Math.max(0, MAX_FILE_CHARS - written));
    if (trouble !== undefined || part === '') return;
    try {
      if (file === undefined) mkdirSync(dirname(path), { recursive: true });
      file ??= openSync(path, 'w', 0o600);
      writeWhole(file, Buffer.from(part, 'utf8'));
      written += part.length;
    } catch (error) {
      // A full disk must not lose the part of the output that can be shown.
      trouble = error instanceof Error ? error.message : String(error);
    }
  };

  return {
    add(text) {
      total += text.length;
      if (total <= MAX_SHOWN_CHARS) {
        whole += text;
        return;
      }
      if (head === '') {
        head = (whole + text).slice(0, HEAD_CHARS);
        spill(whole);
        whole = '';
      }
      spill(text);
    },
    end() {
      if (file !== undefined) closeSync(file);
      if (total <= MAX_SHOWN_CHARS) return toPlain(whole);
      const kept = written < total ? `its first ${written} characters are` : 'all of it is';
      const where = trouble === undefined ? `${kept} in ${path}` : `it could not be saved: ${trouble}`;
      const note = `[output shortened: ${total} characters in all; ${where}; ${total - head.length - tail.length} are left out here]`;
      return `${toPlain(head.toWellFormed())}\n\n${note}\n\n${toPlain(tail.toWellFormed())}`;
    },
  };
}

function toPlain(text: string): string {
  return text.replaceAll(ANSI_SEQUENCES, '').replace(/\n+$/, '');
}

function writeWhole(file: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
}
