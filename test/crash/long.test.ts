/** A long session: every turn costs what the first ones did, and a new worker takes it up. */
import { temporal } from '@temporalio/proto';
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
import { withSessions } from '../support/crash-log.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../support/crash-server.ts';

const TURNS = 200;
const SAMPLE = 20;

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir);
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

/** The bytes of history between one message of the user and the next, turn by turn. */
async function bytesPerTurn(sessionId: string): Promise<{ bytes: number[]; events: number }> {
  return await withSessions(server, async (_, client) => {
    const { HistoryEvent } = temporal.api.history.v1;
    const { events = [] } = await client.workflow.getHandle(sessionId).fetchHistory();
    const bytes: number[] = [];
    for (const event of events ?? []) {
      if (event.workflowExecutionSignaledEventAttributes) bytes.push(0);
      const size = HistoryEvent.encode(event).finish().byteLength;
      if (bytes.length > 0) bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) + size;
    }
    return { bytes, events: events?.length ?? 0 };
  });
}

it(
  'of 200 turns: each costs the same bytes of history, and the next worker replays it',
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
    const { bytes, events } = await bytesPerTurn(session);
    expect(bytes).toHaveLength(TURNS);
    const [early, late] = [mean(bytes.slice(1, SAMPLE)), mean(bytes.slice(-SAMPLE))];
    process.stderr.write(
      `measured: ${TURNS} turns: ${events} history events; bytes a turn ${Math.round(early)} (2-${SAMPLE}), ${Math.round(late)} (last ${SAMPLE})\n`,
    );
    measured('a turn with one tool call, mean of the first', mean(times.slice(1, SAMPLE)));
    measured('a turn with one tool call, mean of the last', mean(times.slice(-SAMPLE)));
    expect(Math.abs(late / early - 1)).toBeLessThan(0.05);
    await checkSession(server, session, watched);

    await server.back(await server.kill('worker'));
    const startedMs = Date.now();
    const frames = await turn(server, session, watched, script({ say: 'still here' }));
    measured(`the next turn on a new worker, which replays ${TURNS} turns`, Date.now() - startedMs);
    expect(frames.filter(({ type }) => type === 'agent.message')).toHaveLength(1);
    const warmMs = Date.now();
    await turn(server, session, watched, script({ say: 'and still' }));
    measured('the turn after that', Date.now() - warmMs);
    await checkSession(server, session, watched);
    watched.close();
  },
);
