/** What the model was asked, kept for tests: they read here which prompt a harness really sent. */

const SECRET_HEADERS = new Set(['authorization', 'x-api-key', 'cookie', 'proxy-authorization']);
const MAX_CHARS = 64_000_000;

/** One request as it arrived. `status` is 0 until it is answered. */
export interface ReceivedRequest {
  readonly id: string;
  readonly received_at: string;
  readonly method: string;
  readonly path: string;
  /** Values of headers that carry a credential are replaced: only that they were there is kept. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
  status: number;
  /** Why it was refused, or failed as the script wanted. */
  error: string | null;
}

/** The last requests, oldest first. */
export interface RequestLog {
  add(request: { id: string; method: string; path: string; headers: Headers; text: string }): ReceivedRequest;
  /** All kept requests whose body holds this text; all of them without one. */
  list(contains?: string): ReceivedRequest[];
  clear(): void;
}

/** Makes a log that keeps the last `keep` requests, and fewer where they are very large. */
export function createRequestLog(keep: number): RequestLog {
  let entries: { request: ReceivedRequest; text: string }[] = [];
  return {
    add({ id, method, path, headers, text }) {
      const request: ReceivedRequest = {
        id,
        received_at: new Date().toISOString(),
        method,
        path,
        headers: shown(headers),
        body: parsed(text),
        status: 0,
        error: null,
      };
      entries.push({ request, text });
      let chars = 0;
      const first = entries.findLastIndex((entry, at) => {
        chars += entry.text.length;
        return at < entries.length - keep || (chars > MAX_CHARS && at < entries.length - 1);
      });
      entries = entries.slice(first + 1);
      return request;
    },
    list(contains = '') {
      return entries.filter(({ text }) => text.includes(contains)).map(({ request }) => request);
    },
    clear() {
      entries = [];
    },
  };
}

function shown(headers: Headers): Record<string, string> {
  return Object.fromEntries(
    [...headers.entries()].map(([name, value]) => [name, SECRET_HEADERS.has(name) ? '[not kept]' : value]),
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
