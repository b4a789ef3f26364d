/** Server-sent events, framing only (wire-api section 12). Pure. */

/** A frame. The `event:` line is required: the SDK drops frames without it. `id`: what a client resumes after. */
export function toFrame(type: string, data: unknown, id?: number): string {
  const idLine = id === undefined ? '' : `id: ${id}\n`;
  return `${idLine}event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** Keeps proxies from closing a quiet stream; clients skip it. */
export const PING_FRAME = toFrame('ping', { type: 'ping' });

/** Headers of a stream. `x-accel-buffering` keeps reverse proxies from holding frames back. */
export const STREAM_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  connection: 'keep-alive',
  'x-accel-buffering': 'no',
};
