/** A long session: every turn costs what the first ones did, and a new worker takes it up. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  bash,
  checkSession,
  makeSession,
  measured,
  script,
  toolResults,
  turn,
  watch,
} from '../support/crash-client.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../support/crash-server.ts';
import { bytesPerTurn, withProbe } from '../support/probe.ts';

/** In one run: from 4,096 history events on Temporal itself asks for another one. */
const TURNS = 140;
const SAMPLE = 20;

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir, { DROVER_RUN_EVENTS: '100000', DROVER_RUN_BYTES: '100000000' });
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

it(
  'of 140 turns: each costs the same bytes, and the next worker takes it up',
  { timeout: 600_000 },
  async () => {
    const session = await makeSession(server);
    const watched = await watch(server, session);
    const times: number[] = [];
    for (let count = 0; count < TURNS; count += 1) {
      const text = script(bash('echo x >> f; wc -l < f'), { say: 'it is done, and nothing more' });
      const startedMs = Date.now();
      const frames = await turn(server, session, watched, text);
      times.push(Date.now() - startedMs);
      expect(toolResults(frames)).toEqual([{ text: String(count + 1), isError: false }]);
    }
    const mean = (part: readonly number[]) => part.reduce((sum, one) => sum + one, 0) / part.length;
    // The first turn also makes the hand.
    const writes = await withProbe(server, (probe) => probe.writes(session));
    const bytes = bytesPerTurn(writes);
    expect(bytes).toHaveLength(TURNS);
    const [early, late] = [mean(bytes.slice(1, SAMPLE)), mean(bytes.slice(-SAMPLE))];
    process.stderr.write(
      `measured: ${TURNS} turns: ${writes.length} writes; bytes a turn ${Math.round(early)} (2-${SAMPLE}), ${Math.round(late)} (last ${SAMPLE})\n`,
    );
    measured('a turn with one tool call, mean of the first', mean(times.slice(1, SAMPLE)));
    measured('a turn with one tool call, mean of the last', mean(times.slice(-SAMPLE)));
    expect(Math.abs(late / early - 1)).toBeLessThan(0.05);
    await checkSession(server, session, watched);

    await server.back(await server.kill('worker'));
    const startedMs = Date.now();
    const frames = await turn(server, session, watched, script({ say: 'still here' }));
    measured(`the next turn on a new worker, behind ${TURNS} others`, Date.now() - startedMs);
    expect(frames.filter(({ type }) => type === 'agent.message')).toHaveLength(1);
    const warmMs = Date.now();
    await turn(server, session, watched, script({ say: 'and still' }));
    measured('the turn after that', Date.now() - warmMs);
    await checkSession(server, session, watched);
    watched.close();
  },
);
