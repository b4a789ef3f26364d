/** Harnesses of the log engine, as its database shows them. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { hang, type CrashServer, type RoleName } from './crash-server.ts';
import { eventually } from './process.ts';

/** Two workers that both live, and which of them has a session. */
export interface Fleet {
  /** The worker that has the session now, and the one that has not. */
  holderOf(sessionId: string): { holder: RoleName; other: RoleName };
  close(): void;
}

type Beats = ReadonlyMap<string, number>;

const WORKERS = ['worker', 'worker-2'] as const;

/** Waits until both live, and finds out which harness is whose: when a process stands still, so does its heartbeat. */
export async function openFleet(server: CrashServer): Promise<Fleet> {
  const database = new DatabaseSync(join(server.dataDir, 'drover.db'), { readOnly: true, timeout: 5000 });
  const all = database.prepare('select id, beat_ms from harnesses');
  const read = (): Beats => new Map(all.all().map((row) => [String(row['id']), Number(row['beat_ms'])]));
  /** Those that have been heard of since. */
  const livingSince = (before: Beats): string[] =>
    [...read()].filter(([id, beat]) => beat > (before.get(id) ?? 0)).map(([id]) => id);

  const [first, second] = WORKERS;
  const before = read();
  const living = await eventually('two harnesses that live', () => {
    const found = livingSince(before);
    return found.length === 2 && found;
  });
  const secondId = await hang(server, first, async () => {
    let since = read();
    // The stopped one may have been heard of just before; nobody but the other one is twice.
    for (const _ of [1, 2]) {
      await eventually('the heartbeat of the other', () => livingSince(since).length > 0);
      since = read();
    }
    await eventually('the heartbeat of the other alone', () => livingSince(since).length === 1);
    return livingSince(since)[0];
  });
  const head = database.prepare('select holder from log_heads where session_id = ?');
  return {
    holderOf(sessionId) {
      const holder = head.get(sessionId)?.['holder'];
      if (typeof holder !== 'string' || !living.includes(holder)) throw new Error('neither has the session');
      return holder === secondId ? { holder: second, other: first } : { holder: first, other: second };
    },
    close: () => database.close(),
  };
}
