/** The suite's server against a Temporal server on Postgres, as in production. */
import type { TestProject } from 'vitest/node';
import { startPostgres } from '../../scripts/postgres.ts';
import { startTemporalOnPostgres, whyNoTemporalOnPostgres } from '../../scripts/temporal-on-postgres.ts';
import { provideServer, skipAll } from '../support/set-up.ts';

const log = (line: string): void => void process.stderr.write(`set-up: ${line}\n`);

export async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const problem = await whyNoTemporalOnPostgres({ log });
  if (problem !== undefined) return skipAll(project, problem);
  await using held = new AsyncDisposableStack();
  const postgres = await startPostgres();
  held.defer(() => postgres.stop());
  const temporal = await startTemporalOnPostgres(postgres, { log });
  held.defer(() => temporal.stop());
  // Runs are short here, so that all tests go through chains of them.
  const env = { TEMPORAL_ADDRESS: temporal.address, DROVER_RUN_EVENTS: '40' };
  held.defer(await provideServer(project, env));
  const all = held.move();
  return async () => await all.disposeAsync();
}
