/** The suite's server with the log engine, on SQLite. */
import type { TestProject } from 'vitest/node';
import { provideServer } from '../support/set-up.ts';

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Segments are short here, so that all tests go through several.
  return await provideServer(project, { DROVER_ENGINE: 'log', DROVER_RUN_EVENTS: '20' });
}
