/** One server for all files of this folder; its address and key reach them through `inject('drover')`. */
import type { TestProject } from 'vitest/node';
import { startTestServer } from '../support/server.ts';

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { url, apiKey, dataDir, stop } = await startTestServer({ DROVER_JUDGE_MODEL: 'claude-haiku-4-5' });
  project.provide('drover', { url, apiKey, dataDir });
  return stop;
}
