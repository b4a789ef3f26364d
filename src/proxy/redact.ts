/** Takes a secret out of a byte stream, also where it arrives in two pieces. */

const MARK = Buffer.from('[redacted]');

/** Redacts piece by piece. */
export interface Redactor {
  /** What of the stream can be passed on by now: everything but an end that may be the beginning of the secret. */
  push(chunk: Uint8Array): Uint8Array;
  /** What is left at the end. */
  end(): Uint8Array;
}

/** Makes a redactor for one stream; without a secret it passes everything on. */
export function createRedactor(secret: string | undefined): Redactor {
  const needle = Buffer.from(secret ?? '');
  if (needle.length === 0) return { push: (chunk) => chunk, end: () => new Uint8Array() };
  let held: Uint8Array = new Uint8Array();
  return {
    push(chunk) {
      const clean = replaceAll(held.length === 0 ? toBuffer(chunk) : Buffer.concat([held, chunk]), needle);
      const keep = overlap(clean, needle);
      held = clean.subarray(clean.length - keep);
      return clean.subarray(0, clean.length - keep);
    },
    end() {
      const rest = held;
      held = new Uint8Array();
      return rest;
    },
  };
}

/** Redacts a whole text, such as a header's value. */
export function redactText(text: string, secret: string | undefined): string {
  return secret === undefined || secret === '' ? text : text.replaceAll(secret, MARK.toString());
}

function toBuffer(chunk: Uint8Array): Buffer {
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}

function replaceAll(data: Buffer, needle: Buffer): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  for (let at = data.indexOf(needle); at !== -1; at = data.indexOf(needle, from)) {
    parts.push(data.subarray(from, at), MARK);
    from = at + needle.length;
  }
  return parts.length === 0 ? data : Buffer.concat([...parts, data.subarray(from)]);
}

/** How much of the end of the data is the beginning of the needle. */
function overlap(data: Buffer, needle: Buffer): number {
  for (let size = Math.min(data.length, needle.length - 1); size > 0; size--) {
    if (data.subarray(data.length - size).equals(needle.subarray(0, size))) return size;
  }
  return 0;
}
