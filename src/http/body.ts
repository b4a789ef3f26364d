/** Request bodies: JSON objects of at most 32 MB, checked by a schema (wire-api sections 1.4 and 1.6). */
import type { Context } from 'hono';
import type { z } from 'zod';
import { invalidRequest, tooLarge } from '../wire/error.ts';
import { parse } from '../wire/parse.ts';

/** Most bytes that a JSON body may have. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** Deeper nesting is refused: JSON of this kind can be parsed but not walked or written again. */
const MAX_DEPTH = 200;

/** Reads and checks a JSON body. Throws 413 when it is too large, 400 when it is anything but what the schema says. */
export async function readBody<S extends z.ZodType>(c: Context, schema: S): Promise<z.output<S>> {
  return parse(schema, await readJsonObject(c));
}

/** Reads a JSON object without looking at what is in it, for bodies that need more than one schema. */
async function readJsonObject(c: Context): Promise<Record<string, unknown>> {
  requireJson(c.req.header('content-type'));
  const text = await readText(c.req.raw, MAX_BODY_BYTES);
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidRequest('The request body must be a JSON object.');
  }
  if (isDeeper(value, MAX_DEPTH))
    throw invalidRequest(`The request body is nested more than ${MAX_DEPTH} levels deep.`);
  return value as Record<string, unknown>;
}

/** Most bytes that a body of lines may have: it is a whole session, and is taken in at once. */
const MAX_LINES_BYTES = 256 * 1024 * 1024;

/** Reads a body of lines of JSON, which are not looked at. Throws 413 when it is too large, 400 for another type. */
export async function readLines(c: Context, type: string): Promise<readonly string[]> {
  const given = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (given !== type)
    throw invalidRequest(`content-type: expected ${type}, got ${given ? `"${given}"` : 'none'}`);
  return (await readText(c.req.raw, MAX_LINES_BYTES)).trimEnd().split('\n');
}

function requireJson(contentType: string | undefined): void {
  const type = contentType?.split(';')[0]?.trim().toLowerCase();
  if (type === 'application/json') return;
  throw invalidRequest(
    `content-type: expected application/json, got ${type === undefined || type === '' ? 'none' : `"${type}"`}`,
  );
}

/** Stops at the limit whatever the client announced, so that a chunked body cannot fill the memory either. */
async function readText(request: Request, maxBytes: number): Promise<string> {
  const problem = () => tooLarge(`The request body is larger than the limit of ${maxBytes} bytes.`);
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw problem();
  if (request.body === null) return '';
  const reader = request.body.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.byteLength;
    if (size > maxBytes) {
      // Not awaited: a client that goes on sending must not hold up the answer.
      reader.cancel().catch(() => undefined);
      throw problem();
    }
    chunks.push(value);
  }
  return decodeUtf8(chunks);
}

function decodeUtf8(chunks: readonly Uint8Array[]): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw invalidRequest('The request body is not valid UTF-8.');
  }
}

function parseJson(text: string): unknown {
  if (text.trim() === '') throw invalidRequest('The request body is empty; a JSON object is expected.');
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalidRequest(
      `The request body is not valid JSON: ${error instanceof Error ? error.message : 'syntax error'}`,
    );
  }
}

/** Level by level instead of recursively: the depth is the caller's choice. */
function isDeeper(value: unknown, limit: number): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; depth <= limit; depth += 1) {
    const next: unknown[] = [];
    for (const item of level) {
      if (typeof item !== 'object' || item === null) continue;
      for (const child of Object.values(item))
        if (typeof child === 'object' && child !== null) next.push(child);
    }
    if (next.length === 0) return false;
    level = next;
  }
  return true;
}
