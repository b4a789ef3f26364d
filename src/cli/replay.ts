/** `drover replay`: real histories against today's code. */
import { Client } from '@temporalio/client';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import process from 'node:process';
import { readConfig } from '../config.ts';
import { fetchRuns, replayRuns, type RecordedRun } from '../engine/temporal/replay.ts';
import { ensureWorkflowBundle } from '../engine/temporal/workflow-bundle.ts';
import { connectTemporal } from '../temporal-server/connection.ts';

/** What is to be replayed. */
export interface ReplayRequest {
  /** A session, or a file as `temporal workflow show --output json` writes it. */
  readonly what: string;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Replays all runs of a session, or a file, and says of each whether code and history agree.
 *
 * @throws when they part anywhere
 */
export async function replay({ what, env }: ReplayRequest): Promise<void> {
  const config = readConfig(env);
  const codePath = await ensureWorkflowBundle(join(config.dataDir, 'cache'));
  let divergences = 0;
  for await (const { name, divergence } of replayRuns(codePath, runsOf(what, config))) {
    if (divergence !== undefined) divergences += 1;
    process.stdout.write(`${name}: ${divergence === undefined ? 'agrees' : `PARTS: ${divergence}`}\n`);
  }
  if (divergences > 0) throw new Error(`${divergences} of the histories do not agree with this code`);
}

async function* runsOf(what: string, config: ReturnType<typeof readConfig>): AsyncGenerator<RecordedRun> {
  if (!/^sesn_\w+$/.test(what)) {
    yield { name: basename(what), history: JSON.parse(await readFile(what, 'utf8')) as unknown };
    return;
  }
  const { namespace, address = await embeddedAddress(config.dataDir) } = config.temporal;
  const connection = await connectTemporal(address);
  try {
    yield* fetchRuns(new Client({ connection, namespace }), what);
  } finally {
    await connection.close();
  }
}

/** Of the Temporal server that runs on this data dir. */
async function embeddedAddress(dataDir: string): Promise<string> {
  const text = await readFile(join(dataDir, 'run', 'ports.json'), 'utf8').catch((error: unknown) => {
    throw new Error('no server has run on the data dir; name one in TEMPORAL_ADDRESS', { cause: error });
  });
  const { temporal } = JSON.parse(text) as { readonly temporal?: number };
  if (temporal === undefined) throw new Error('this server has no Temporal; name one in TEMPORAL_ADDRESS');
  return `127.0.0.1:${temporal}`;
}
