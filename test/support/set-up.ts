/** What the set-ups have in common: vitest starts one before a project's tests, and stops it in the end. */
import type { TestProject } from 'vitest/node';
import { startTestServer, type ServerInfo } from './server.ts';

/** Starts the server that a project's tests share, and tells them where it is, by `inject('drover')`. Answers its stop. */
export async function provideServer(
  project: TestProject,
  env: Readonly<Record<string, string>> = {},
): Promise<() => Promise<void>> {
  const settings = { DROVER_JUDGE_MODEL: 'claude-haiku-4-5', ...env };
  const { running: _, stop, ...info } = await startTestServer(settings);
  project.provide('drover', info);
  return stop;
}

/** Has a project's tests skipped, their hooks too, and says so loudly. */
export function skipAll(project: TestProject, why: string): undefined {
  process.stderr.write(`\nSKIPPED: all tests of project ${project.name}: ${why}\n\n`);
  // No test has such a name. What is written between the tests runs nevertheless, and may want an address.
  project.config.testNamePattern = /(?!)/;
  project.provide('drover', NOWHERE);
}

const NOWHERE: ServerInfo = {
  url: 'http://127.0.0.1:9',
  apiKey: 'none',
  dataDir: '/nowhere',
  engine: 'temporal',
  temporalAddress: undefined,
  databaseUrl: undefined,
};
