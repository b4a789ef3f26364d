/** The suite's server with the log engine, on SQLite. */
import type { TestProject } from 'vitest/node';
import { provideServer } from '../support/set-up.ts';

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  return await provideServer(project, { DROVER_ENGINE: 'log' });
}
