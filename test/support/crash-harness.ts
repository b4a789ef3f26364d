/** Which of two workers works on a session of the log engine. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { CrashServer, RoleName } from './crash-server.ts';

const WORKERS = ['worker', 'worker-2'] as const;

/** The worker that has the session now, and the one that has not. */
export async function holderOf(
  { dataDir }: CrashServer,
  sessionId: string,
): Promise<{ holder: RoleName; other: RoleName }> {
  const harness = heldBy(join(dataDir, 'drover.db'), sessionId);
  const [first, second] = WORKERS;
  if (harness === (await harnessOf(dataDir, first))) return { holder: first, other: second };
  if (harness === (await harnessOf(dataDir, second))) return { holder: second, other: first };
  throw new Error(`neither worker has session ${sessionId}`);
}

function heldBy(path: string, sessionId: string): unknown {
  const database = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
  try {
    return database.prepare('select holder from log_heads where session_id = ?').get(sessionId)?.['holder'];
  } finally {
    database.close();
  }
}

/** By what name a worker leases sessions: each that was started in this role has said it. */
export async function harnessOf(dataDir: string, role: RoleName): Promise<string | undefined> {
  const lines = (await readFile(join(dataDir, 'logs', `${role}.log`), 'utf8')).split('\n');
  return lines.findLast((line) => line.includes('"harness-'))?.match(/harness-[\w-]+/)?.[0];
}
