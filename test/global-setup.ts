/** One Postgres for the whole run, where it is installed; each file that wants one makes a database of its own in it. */
import type { TestProject } from 'vitest/node';
import { findPostgres, startPostgres } from '../scripts/postgres.ts';

declare module 'vitest' {
  // oxlint-disable-next-line typescript/consistent-type-definitions -- vitest is extended by merging
  export interface ProvidedContext {
    /** URL of a database that may make others; empty where Postgres is not installed. */
    postgres: string;
  }
}

export async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  if ((await findPostgres()) === undefined) {
    project.provide('postgres', '');
    console.warn('\nSKIPPED: all tests on Postgres, because it is not installed\n');
    return undefined;
  }
  // What is measured is measured elsewhere; here nothing outlives the run.
  const server = await startPostgres({ fsync: 'off' });
  project.provide('postgres', `postgres://drover@127.0.0.1:${server.port}/postgres`);
  return server.stop;
}
