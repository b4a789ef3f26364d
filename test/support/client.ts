/** The official client against the running server, with every HTTP call on record. */
import Anthropic, { type ClientOptions } from '@anthropic-ai/sdk';
import { inject } from 'vitest';
import type { ServerInfo } from './server.ts';

/** One HTTP call that a client made. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly sent: Headers;
  readonly status: number;
  readonly answered: Headers;
}

/** A client and what it did on the wire. */
export interface TestClient {
  readonly client: Anthropic;
  readonly calls: Call[];
}

let own: ServerInfo | undefined;

/** Has a test file talk to a server of its own, with other settings than that of the run. */
export function useServer(info: ServerInfo): void {
  own = info;
}

/** The server that this test file talks to: its own, or that of the run. */
export function server(): ServerInfo {
  return own ?? inject('drover');
}

/** Makes a client of the running server. */
export function createClient(options: ClientOptions = {}): TestClient {
  const { url, apiKey } = server();
  const calls: Call[] = [];
  const inner = options.fetch ?? fetch;
  const client = new Anthropic({
    apiKey,
    baseURL: url,
    ...options,
    fetch: async (input, init) => {
      const answer = await inner(input, init);
      const { pathname, search } = new URL(input instanceof Request ? input.url : input);
      calls.push({
        method: init?.method ?? 'GET',
        path: pathname,
        query: search,
        sent: new Headers(init?.headers),
        status: answer.status,
        answered: answer.headers,
      });
      return answer;
    },
  });
  return { client, calls };
}

/** One request by hand, with the key, for what the official client would never send. */
export async function send(
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ status: number; headers: Headers; body: unknown }> {
  const { url, apiKey } = server();
  const answer = await fetch(`${url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${apiKey}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, body: text === '' ? undefined : JSON.parse(text) };
}

let count = 0;

/** A word that nobody else uses, in this run or another file's. */
export function unique(prefix = 'mark'): string {
  count += 1;
  return `${prefix}-${process.pid.toString(36)}-${Date.now().toString(36)}-${count}`;
}
