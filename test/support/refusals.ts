/** Requests that must be refused: what the answer must look like, and that it left nothing behind. */
import { beforeAll, expect } from 'vitest';
import { send, server } from './client.ts';
import { script, type ListedEvent, type Live, type Testbed } from './turns.ts';

/** The end of an id that nobody has. */
export const UNKNOWN = '01AAAAAAAAAAAAAAAAAAAAAA';

/** What came back from a request by hand. */
export type Answer = Awaited<ReturnType<typeof send>>;

/** What a test of refusals works with. */
export interface Refusals {
  /** A session with a turn behind it. It stays as it is. */
  live(): Live;
  /** Its log, as it must remain. */
  log(): readonly ListedEvent[];
  /** The path of the session, with what comes behind it. */
  path(rest?: string): string;
  /** Sends what must be refused; answers the message. */
  refused(path: string, body: unknown, options?: { status?: number; method?: string }): Promise<string>;
  /** Checks an answer that must be a refusal, and that the session is as it was; answers the message. */
  judged(answer: Answer, status: number): Promise<string>;
}

/** Makes the session before the first test. */
export function useRefusals(bed: Testbed): Refusals {
  let live: Live;
  let log: readonly ListedEvent[];
  let resource: object;

  beforeAll(async () => {
    live = await bed.live({ title: 'kept', metadata: { kept: 'yes' } });
    await live.turn(script({ say: 'before' }));
    log = await live.list();
    resource = steady(await live.read());
  });

  async function judged(answer: Answer, status: number): Promise<string> {
    const kinds: Record<number, string> = { 404: 'not_found_error', 413: 'request_too_large' };
    expect(answer.status, JSON.stringify(answer.body)).toBe(status);
    expect(answer.body).toMatchObject({
      type: 'error',
      error: { type: kinds[status] ?? 'invalid_request_error', message: expect.any(String) },
      request_id: answer.headers.get('request-id'),
    });
    expect(await live.list()).toEqual(log);
    expect(steady(await live.read())).toEqual(resource);
    return (answer.body as { error: { message: string } }).error.message;
  }

  return {
    live: () => live,
    log: () => log,
    path: (rest = '') => `/v1/sessions/${live.id}${rest}`,
    judged,
    refused: async (path, body, { status = 400, method = 'POST' } = {}) =>
      await judged(await send(method, path, body), status),
  };
}

/** A POST whose body is what it is. */
export async function post(
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  type = 'application/json',
): Promise<Answer> {
  const { url, apiKey } = server();
  const answer = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'x-api-key': apiKey, 'content-type': type },
    body,
  });
  return { status: answer.status, headers: answer.headers, body: await answer.json() };
}

/** Without what changes by the clock. */
function steady(session: object): object {
  return { ...session, stats: undefined };
}
