/** Commands on one session of a running server, over its API. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { ConfigError, readConfig } from '../config.ts';

/** A session, and where to ask for it. */
export interface MoveRequest {
  readonly id: string;
  readonly to: string;
  /** The server's address; left out: the one on this machine. */
  readonly url: string | undefined;
  readonly env: NodeJS.ProcessEnv;
}

/** What a server says of a session's engine. */
interface Answer {
  readonly engine?: string;
  readonly moving_to?: string | null;
  readonly error?: { readonly message?: string };
}

/** Has a session move to another engine, and says what became of it. */
export async function moveSession({ id, to, url, env }: MoveRequest): Promise<void> {
  const { port, dataDir, apiKey } = readConfig(env);
  const server = URL.parse(url ?? `http://127.0.0.1:${port}`);
  if (!server) throw new ConfigError(`--url: expected a URL that begins with http:// or https://`);
  const key = apiKey ?? (await readFile(join(dataDir, 'api-key'), 'utf8').catch(noKey)).trim();
  const answer = await fetch(new URL(`/v1/x/sessions/${encodeURIComponent(id)}/move`, server), {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': key },
    body: JSON.stringify({ to }),
  }).catch((error: unknown) => {
    throw new Error(`no server answers at ${server.origin}`, { cause: error });
  });
  const body = ((await answer.json().catch(() => undefined)) ?? {}) as Answer;
  if (!answer.ok) throw new Error(body.error?.message ?? `the server answers ${answer.status}`);
  process.stdout.write(
    body.moving_to === null
      ? `${id} lives on the ${body.engine} engine\n`
      : `${id} moves to the ${body.moving_to} engine as soon as its turn is over\n`,
  );
}

function noKey(error: unknown): never {
  throw new Error('the data dir has no API key; name one in DROVER_API_KEY', { cause: error });
}
