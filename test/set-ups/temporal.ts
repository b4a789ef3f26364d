/** The suite's server as `npm start` gives it: with the embedded Temporal server. */
import type { TestProject } from 'vitest/node';
import { provideServer } from '../support/set-up.ts';

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  return await provideServer(project);
}
