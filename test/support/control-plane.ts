import Anthropic, { APIError } from '@anthropic-ai/sdk';
import { createApp, type App, type AppDeps } from '../../src/http/app.ts';
import { hashApiKey } from '../../src/http/auth.ts';
import { inject } from 'vitest';
import { DEFAULT_WORKSPACE_ID, type Records } from '../../src/records.ts';
import { openRecords } from '../../src/records/open.ts';
import { createPostgresDatabase, type DatabaseKind } from './database.ts';

/** The key that the test client uses. */
export const TEST_KEY = 'sk-ant-api-test';

/** What a raw request may carry. */
export type TestBody = string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;

/** An application over a database in memory, and the official client in the same process. */
export interface TestPlane {
  readonly app: App;
  readonly records: Records;
  readonly client: Anthropic;
  /** Every answer the client was given, in order, but for streams. */
  readonly answers: { status: number; headers: Headers; text: string }[];
  /** A client of another workspace. */
  readonly otherClient: () => Promise<Anthropic>;
  /** One raw request with the test key. */
  readonly send: (
    method: string,
    path: string,
    body?: TestBody,
    headers?: Record<string, string>,
  ) => Promise<Response>;
}

declare module 'vitest' {
  // oxlint-disable-next-line typescript/consistent-type-definitions -- vitest is extended by merging
  export interface ProvidedContext {
    /** What a project's control planes are on; SQLite unless it says so. */
    recordsOn: DatabaseKind | undefined;
  }
}

/** Empty records on the project's kind of database. */
async function openTestRecords(): Promise<Records> {
  if (inject('recordsOn') !== 'postgres') return await openRecords({ kind: 'sqlite', path: ':memory:' });
  const { url } = await createPostgresDatabase();
  return await openRecords({ kind: 'postgres', url });
}

/** Makes a plane; `deps` replaces parts of it. */
export async function createTestPlane(deps: Partial<AppDeps> = {}): Promise<TestPlane> {
  const records = deps.records ?? (await openTestRecords());
  await records.apiKeys.add(hashApiKey(TEST_KEY), DEFAULT_WORKSPACE_ID);
  const app = createApp({ models: async () => [], ...deps, records });
  const answers: TestPlane['answers'] = [];
  const clientFor = (apiKey: string) =>
    new Anthropic({
      apiKey,
      baseURL: 'http://drover.test',
      fetch: async (url, init) => {
        const answer = await app.request(url instanceof Request ? url.url : url.toString(), init);
        const { status, headers } = answer;
        if (headers.get('content-type')?.includes('event-stream') === true) return answer;
        // No clone: the client cancels the body before it retries, and waits for the copy to be cancelled too.
        const text = await answer.text();
        answers.push({ status, headers, text });
        return new Response(text, { status, headers });
      },
    });
  return {
    app,
    records,
    client: clientFor(TEST_KEY),
    answers,
    otherClient: async () => {
      await records.apiKeys.add(hashApiKey('sk-ant-api-other'), 'wrkspc_other');
      return clientFor('sk-ant-api-other');
    },
    send: async (method, path, body, headers = {}) =>
      app.request(`http://drover.test${path}`, {
        method,
        headers: {
          'x-api-key': TEST_KEY,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body, duplex: 'half' }),
      }),
  };
}

/** What a failing call was answered. Fails itself when the call went well. */
export async function failureOf(call: PromiseLike<unknown>): Promise<APIError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof APIError) return error;
    throw error;
  }
  throw new Error('the call was expected to fail');
}

/** All of a list, over as many pages as it takes. */
export async function collect<T>(list: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of list) items.push(item);
  return items;
}
