/** Has the control planes of unit tests on Postgres. */
import type { TestProject } from 'vitest/node';
import { findPostgres } from '../../scripts/postgres.ts';
import { skipAll } from '../support/set-up.ts';

export async function setup(project: TestProject): Promise<void> {
  project.provide('recordsOn', 'postgres');
  if ((await findPostgres()) === undefined) skipAll(project, 'Postgres is not installed');
}
