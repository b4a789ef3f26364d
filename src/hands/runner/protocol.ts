/**
 * What a worker and the runner in a hand say to each other: one JSON message a line, over any byte stream. One
 * stream carries many calls at once, told apart by `seq`, because a stream into a container is dear to open.
 */
import type { ToolCall, ToolOutcome } from '../../hands.ts';

/** Raised when a runner and a worker of different ages could misunderstand each other. */
export const PROTOCOL_VERSION = 1;

/** Worker to runner. */
export type Request =
  | { readonly type: 'execute'; readonly seq: number; readonly call: ToolCall }
  | { readonly type: 'abort'; readonly seq: number; readonly id: string }
  | { readonly type: 'ping'; readonly seq: number }
  /** Begin no call for a short time, if none was for `quietMs`: `held` or `busy`. Ends with the line it came over. */
  | { readonly type: 'hold'; readonly seq: number; readonly quietMs: number }
  /** End, if what was held over this line still is: the line ends then, else `busy`. */
  | { readonly type: 'end'; readonly seq: number }
  /** Look at the workspace: `look`, or `refused`. `known`: the snapshot that need not be described again. */
  | { readonly type: 'look'; readonly seq: number; readonly known?: string }
  /** Give pieces of files: `content`, or `refused`. */
  | { readonly type: 'fetch'; readonly seq: number; readonly pieces: readonly Piece[] }
  /** Keep pieces of contents for `lay`, as long as this line is open: `done`, or `refused`. */
  | { readonly type: 'stage'; readonly seq: number; readonly pieces: readonly StagedPiece[] }
  /** Put what the manifest says in the place of all files, unless a call has run: `done`, or `refused`. */
  | { readonly type: 'lay'; readonly seq: number; readonly manifest: string };

/** A piece of a file in the workspace. */
export interface Piece {
  readonly path: string;
  readonly from: number;
  readonly length: number;
}

/** A piece of content, in base64. Pieces of one content come in order. */
export interface StagedPiece {
  readonly sha256: string;
  readonly from: number;
  readonly data: string;
}

/** What a look at the workspace gave. */
export interface Look {
  /** When it began, in microseconds; each look has a greater number than those before it. */
  readonly takenUs: number;
  /** Left out: it is the snapshot that was known. */
  readonly manifest?: string;
}

/** Runner to worker. `hello` comes first and unasked; every other reply answers the request of its `seq`. */
export type Reply =
  /**
   * `holds`: it knows `hold` and `end`. `files`: it knows `look`, `fetch`, `stage` and `lay`. A runner that does not
   * drops the line on which they come.
   */
  | { readonly type: 'hello'; readonly protocol: number; readonly holds?: true; readonly files?: true }
  | { readonly type: 'held'; readonly seq: number }
  | { readonly type: 'busy'; readonly seq: number }
  | { readonly type: 'outcome'; readonly seq: number; readonly outcome: ToolOutcome }
  | ({ readonly type: 'look'; readonly seq: number } & Look)
  /** In base64, in the order in which it was asked for. */
  | { readonly type: 'content'; readonly seq: number; readonly data: readonly string[] }
  | { readonly type: 'refused'; readonly seq: number; readonly reason: string }
  | { readonly type: 'done'; readonly seq: number };

/** One message as it travels. */
export function toLine(message: Request | Reply): string {
  return `${JSON.stringify(message)}\n`;
}

/** Cuts a byte stream into lines. A line over `maxBytes` throws: whoever sends it must not fill our memory. */
export function createLineSplitter(maxBytes: number): (chunk: Buffer) => string[] {
  let parts: Buffer[] = [];
  let held = 0;
  const keep = (part: Buffer): void => {
    held += part.length;
    if (held > maxBytes) throw new Error(`a message is longer than ${maxBytes} bytes`);
    parts.push(part);
  };
  return (chunk) => {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      keep(chunk.subarray(start, end));
      lines.push(Buffer.concat(parts, held).toString('utf8'));
      parts = [];
      held = 0;
      start = end + 1;
    }
    if (start < chunk.length) keep(chunk.subarray(start));
    return lines;
  };
}

/** Reads a worker's message. Returns undefined for what is none. */
export function parseRequest(line: string): Request | undefined {
  const message = parseObject(line);
  if (message === undefined || typeof message['seq'] !== 'number') return undefined;
  const seq = message['seq'];
  if (message['type'] === 'ping' || message['type'] === 'end') return { type: message['type'], seq };
  if (message['type'] === 'hold' && typeof message['quietMs'] === 'number')
    return { type: 'hold', seq, quietMs: message['quietMs'] };
  if (message['type'] === 'abort' && typeof message['id'] === 'string')
    return { type: 'abort', seq, id: message['id'] };
  const files = parseFilesRequest(message, seq);
  if (files !== undefined) return files;
  const call = message['call'];
  if (message['type'] !== 'execute' || !isObject(call)) return undefined;
  const { id, name, input } = call;
  if (typeof id !== 'string' || typeof name !== 'string' || !isObject(input)) return undefined;
  return { type: 'execute', seq, call: { id, name, input } };
}

function parseFilesRequest(message: Record<string, unknown>, seq: number): Request | undefined {
  const { type, known, pieces, manifest } = message;
  if (type === 'look' && known === undefined) return { type, seq };
  if (type === 'look' && typeof known === 'string') return { type, seq, known };
  if (type === 'lay' && typeof manifest === 'string') return { type, seq, manifest };
  if (!Array.isArray(pieces)) return undefined;
  if (type === 'fetch' && pieces.every(isPiece)) return { type, seq, pieces };
  return type === 'stage' && pieces.every(isStagedPiece) ? { type, seq, pieces } : undefined;
}

function isPiece(value: unknown): value is Piece {
  return (
    isObject(value) && typeof value['path'] === 'string' && isCount(value['from']) && isCount(value['length'])
  );
}

function isStagedPiece(value: unknown): value is StagedPiece {
  return (
    isObject(value) &&
    typeof value['sha256'] === 'string' &&
    /^[0-9a-f]{64}$/.test(value['sha256']) &&
    isCount(value['from']) &&
    typeof value['data'] === 'string'
  );
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Reads a runner's message. Returns undefined for what is none: what is in a hand is not trusted. */
export function parseReply(line: string): Reply | undefined {
  const message = parseObject(line);
  if (message === undefined) return undefined;
  const { type, seq, protocol, holds, files } = message;
  if (type === 'hello' && typeof protocol === 'number')
    return { type, protocol, ...(holds === true && { holds }), ...(files === true && { files }) };
  if (typeof seq !== 'number') return undefined;
  if (type === 'done' || type === 'held' || type === 'busy') return { type, seq };
  const answer = parseFilesReply(message, seq);
  if (answer !== undefined) return answer;
  const outcome = toOutcome(message['outcome']);
  return type === 'outcome' && outcome !== undefined ? { type, seq, outcome } : undefined;
}

function parseFilesReply(message: Record<string, unknown>, seq: number): Reply | undefined {
  const { type, takenUs, manifest, data, reason } = message;
  if (type === 'look' && isCount(takenUs) && (manifest === undefined || typeof manifest === 'string'))
    return { type, seq, takenUs, ...(manifest !== undefined && { manifest }) };
  if (type === 'content' && Array.isArray(data) && data.every((item) => typeof item === 'string'))
    return { type, seq, data };
  return type === 'refused' && typeof reason === 'string' ? { type, seq, reason } : undefined;
}

/** Checks that a value from a hand or its disk is a tool outcome. */
export function toOutcome(value: unknown): ToolOutcome | undefined {
  if (!isObject(value) || typeof value['isError'] !== 'boolean' || !Array.isArray(value['content']))
    return undefined;
  const content: ToolOutcome['content'][number][] = [];
  for (const block of value['content'] as unknown[]) {
    const known = toContent(block);
    if (known === undefined) return undefined;
    content.push(known);
  }
  return { content, isError: value['isError'] };
}

/** Checks that a value is a block of tool output, and drops what the port does not know. */
export function toContent(block: unknown): ToolOutcome['content'][number] | undefined {
  if (!isObject(block)) return undefined;
  if (block['type'] === 'text' && typeof block['text'] === 'string')
    return { type: 'text', text: block['text'] };
  const source = block['source'];
  if (block['type'] !== 'image' || !isObject(source)) return undefined;
  const { type, media_type, data } = source;
  if (type !== 'base64' || typeof media_type !== 'string' || typeof data !== 'string') return undefined;
  return { type: 'image', source: { type, media_type, data } };
}

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
