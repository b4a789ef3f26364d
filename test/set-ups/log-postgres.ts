/** The suite's server with the log engine on Postgres: several workers on one database. */
import type { TestProject } from 'vitest/node';
import { findPostgres, startPostgres } from '../../scripts/postgres.ts';
import { provideServer, skipAll } from '../support/set-up.ts';

export async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  if ((await findPostgres()) === undefined) return skipAll(project, 'Postgres is not installed');
  await using held = new AsyncDisposableStack();
  const postgres = await startPostgres();
  held.defer(() => postgres.stop());
  const settings = {
    DROVER_ENGINE: 'log',
    DATABASE_URL: await postgres.createDatabase(),
    DROVER_WORKERS: '2',
    DROVER_RUN_EVENTS: '20',
  };
  held.defer(await provideServer(project, settings));
  const all = held.move();
  return async () => await all.disposeAsync();
}
