/** Commands on one session of a running server, over its API. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { ConfigError, readConfig } from '../config.ts';

/** A session, and where to ask for it. */
export interface SessionRequest {
  readonly id: string;
  /** The server's address; left out: the one on this machine. */
  readonly url: string | undefined;
  readonly env: NodeJS.ProcessEnv;
}

/** What a server says of a session's engine. */
interface Whereabouts {
  readonly engine: string;
  readonly moving_to: string | null;
}

/** What a server says of a session's archive. */
interface Verification {
  readonly length: number;
  readonly sealed: number;
  readonly segments: readonly {
    readonly number: number;
    readonly from: number;
    readonly to: number;
    readonly sha256: string;
    readonly archive: string;
    readonly history: string;
  }[];
}

/** What a server says of a fork that it has made. */
interface Fork {
  readonly id: string;
  readonly position: number;
  readonly workspace: {
    readonly state: string;
    readonly reason?: string;
    readonly snapshot?: string;
    readonly bytes?: number;
    readonly added_bytes?: number;
  };
}

/** Has a session move to another engine, and says what became of it. */
export async function moveSession({
  to,
  ...request
}: SessionRequest & { readonly to: string }): Promise<void> {
  const { engine, moving_to } = await ask<Whereabouts>(request, 'move', { to });
  say(
    moving_to === null
      ? `${request.id} lives on the ${engine} engine`
      : `${request.id} moves to the ${moving_to} engine as soon as its turn is over`,
  );
}

/** Puts a session back to work, and waits until it is taken up. */
export async function wakeSession(request: SessionRequest): Promise<void> {
  await ask(request, 'wake', {});
  say(`${request.id} is awake`);
}

/**
 * Holds a session's archive against its digests and against the histories that are still there.
 *
 * @throws when anything is damaged
 */
export async function verifySession(request: SessionRequest): Promise<void> {
  const { length, sealed, segments } = await ask<Verification>(request, 'verify');
  for (const { number, from, to, sha256, archive, history } of segments)
    say(
      `segment ${number}: positions ${from} to ${to - 1}, ${sha256.slice(0, 12)}…, archive ${archive}, history ${history}`,
    );
  say(`${length} positions: ${sealed} in ${segments.length} segments, ${length - sealed} not sealed yet`);
  const isWrong = segments.some(({ archive, history }) => archive === 'damaged' || history === 'differs');
  if (isWrong) throw new Error(`the archive of ${request.id} is not what was written`);
}

/** Writes a session into a file that another server takes in; left out: to stdout. */
export async function exportSession({
  to,
  ...request
}: SessionRequest & { readonly to?: string }): Promise<void> {
  const text = await (await send(request, { path: `${request.id}/export` })).text();
  if (to === undefined) process.stdout.write(text);
  else await writeFile(to, text);
}

/** Takes a session in from a file. It goes on when somebody writes to it, or wakes it. */
export async function importSession({
  file,
  ...request
}: Omit<SessionRequest, 'id'> & { readonly file: string }) {
  const body = await readFile(file);
  const answer = await send(request, { path: 'import', body, type: 'application/x-ndjson' });
  const { id, length } = (await answer.json()) as { readonly id: string; readonly length: number };
  say(`${id} is here, with ${length} positions; it goes on when it is woken or written to`);
}

/** Makes another session of a session's log up to a position; left out: of all of it. */
export async function forkSession({ position, ...request }: SessionRequest & { readonly position?: string }) {
  const body = position === undefined ? {} : { position: Number(position) };
  const fork = await ask<Fork>(request, 'fork', body);
  say(`${fork.id} has the log of ${request.id} up to position ${fork.position}`);
  say(`its workspace: ${describe(fork.workspace)}`);
}

function describe({ state, reason, snapshot, bytes, added_bytes }: Fork['workspace']): string {
  switch (state) {
    case 'snapshot':
      return `as it was there, ${bytes} bytes (snapshot ${snapshot?.slice(0, 12)}…, ${added_bytes} bytes kept for it)`;
    case 'empty':
      return `empty, as it was there: ${reason}`;
    default:
      return `empty, because what it was there is not known: ${reason}`;
  }
}

/** Asks the server about a session. With a body, it is told to do something. */
async function ask<T>({ id, ...request }: SessionRequest, what: string, body?: object): Promise<T> {
  const path = `${encodeURIComponent(id)}/${what}`;
  const sent = body && { body: JSON.stringify(body), type: 'application/json' };
  return (await (await send(request, { path, ...sent })).json()) as T;
}

/** What is sent: with a body it is a POST. */
interface Sent {
  readonly path: string;
  readonly body?: string | Uint8Array;
  readonly type?: string;
}

/** Sends a request about sessions. Throws what the server says when it refuses. */
async function send(
  { url, env }: Pick<SessionRequest, 'url' | 'env'>,
  { path, body, type }: Sent,
): Promise<Response> {
  const { port, dataDir, apiKey } = readConfig(env);
  const server = URL.parse(url ?? `http://127.0.0.1:${port}`);
  if (!server) throw new ConfigError(`--url: expected a URL that begins with http:// or https://`);
  const key = apiKey ?? (await readFile(join(dataDir, 'api-key'), 'utf8').catch(noKey)).trim();
  const answer = await fetch(new URL(`/v1/x/sessions/${path}`, server), {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'x-api-key': key, ...(type !== undefined && { 'content-type': type }) },
    ...(body !== undefined && { body }),
  }).catch((error: unknown) => {
    throw new Error(`no server answers at ${server.origin}`, { cause: error });
  });
  if (answer.ok) return answer;
  const said = (await answer.json().catch(() => undefined)) as
    | { readonly error?: { readonly message?: string } }
    | undefined;
  throw new Error(said?.error?.message ?? `the server answers ${answer.status}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function noKey(error: unknown): never {
  throw new Error('the data dir has no API key; name one in DROVER_API_KEY', { cause: error });
}
