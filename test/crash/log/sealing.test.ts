/** A worker dies in the middle of sealing: nothing of that has happened, and the next one seals the same. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isBusy } from '../../../src/records/node-sqlite.ts';
import { checkSession, makeSession, script, turn, watch } from '../../support/crash-client.ts';
import { holderOf } from '../../support/crash-harness.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../../support/crash-server.ts';
import { eventually } from '../../support/process.ts';

/** Entries of a segment: more than one turn. */
const ENTRIES = 20;

interface Verification {
  readonly length: number;
  readonly segments: readonly { readonly from: number; readonly to: number; readonly archive: string }[];
  readonly damage: unknown;
}

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir, { DROVER_WORKERS: '2', DROVER_RUN_EVENTS: String(ENTRIES) });
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

const verify = async (id: string): Promise<Verification> =>
  await server.api.get(`/v1/x/sessions/${id}/verify`);

/** `timeout`: how long to wait for whoever writes. */
function withDatabase<T>(timeout: number, use: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(join(dataDir, 'drover.db'), { timeout });
  try {
    return use(database);
  } finally {
    database.close();
  }
}

/** Somebody has been writing for a second, which no write takes that comes to an end. */
function isStuck(): boolean {
  return withDatabase(1000, (database) => {
    try {
      database.exec('begin immediate; rollback');
      return false;
    } catch (error) {
      if (isBusy(error)) return true;
      throw error;
    }
  });
}

it('leaves no segment, half or whole, and the same stretch is sealed by another one', async () => {
  const id = await makeSession(server);
  const watched = await watch(server, id);
  await turn(server, id, watched, script({ say: 'one' }));
  expect((await verify(id)).segments).toEqual([]);

  // Whoever writes a segment does not come to the end of it: so many rows joined with themselves are never counted.
  const rows = Array.from({ length: 12 }, (_, nth) => `log_carriers as c${nth}`).join(', ');
  withDatabase(5000, (database) =>
    database.exec(
      `create trigger endless before insert on log_segments begin select count(*) from ${rows}; end`,
    ),
  );
  for (let nth = 0; (await verify(id)).length < ENTRIES; nth += 1)
    await turn(server, id, watched, script({ say: `turn ${nth}` }));
  await eventually('somebody in the middle of it', isStuck);
  const { holder } = await holderOf(server, id);
  const killed = await server.kill(holder);
  withDatabase(10_000, (database) => database.exec('drop trigger endless'));
  expect((await verify(id)).segments).toEqual([]);

  await server.back(killed);
  const { segments, damage, length } = await eventually('the segment', async () => {
    const now = await verify(id);
    return now.segments.length > 0 ? now : undefined;
  });
  expect(damage).toBeNull();
  expect(segments).toMatchObject([{ from: 0, archive: 'intact' }]);
  expect(segments[0]?.to).toBeGreaterThanOrEqual(ENTRIES);
  expect(segments[0]?.to).toBeLessThanOrEqual(length);
  await turn(server, id, watched, script({ say: 'after' }));
  await checkSession(server, id, watched);
  watched.close();
});
