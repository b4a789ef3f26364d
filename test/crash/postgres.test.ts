/** The Postgres below a server dies while it runs, and comes back. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type PostgresServer } from '../../scripts/postgres.ts';
import {
  isIdle,
  listAll,
  makeSession,
  say,
  script,
  turn,
  watch,
  type Frame,
} from '../support/crash-client.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../support/crash-server.ts';
import { hasPostgres } from '../support/database.ts';
import { checkLog } from '../support/invariants.ts';
import { eventually } from '../support/process.ts';
import { engineOfRun } from '../support/server.ts';
import { withSessions } from '../support/sessions.ts';

const ENGINE = engineOfRun();
const ROLES = ['api', 'worker', 'worker-2', 'proxy'] as const;
const LONG = 'Words that take their time, one after the other, for as long as the database is away.';

const previewed = (frames: readonly Frame[]): string =>
  frames
    .map((frame) =>
      frame.type === 'event_delta' && frame.delta.content.type === 'text' ? frame.delta.content.text : '',
    )
    .join('');

describe.runIf(hasPostgres)('Postgres, killed in the middle of a turn', () => {
  let postgres: PostgresServer;
  let dataDir: string;
  let url: string;
  let server: CrashServer;

  beforeAll(async () => {
    postgres = await startPostgres({ fsync: 'off' });
    dataDir = await makeDataDir();
    url = await postgres.createDatabase();
    server = await startCrashServer(dataDir, {
      DROVER_ENGINE: ENGINE,
      DATABASE_URL: url,
      DROVER_WORKERS: '2',
    });
  });

  afterAll(async () => {
    await cleanUp(dataDir, server);
    await postgres.stop();
  });

  it('takes no process with it; requests are 503 until it is back, and the turn goes on', async () => {
    const id = await makeSession(server);
    const watched = await watch(server, id);
    await turn(server, id, watched, script({ say: 'Before.' }));
    const pids = async () => await Promise.all(ROLES.map((role) => server.pid(role)));
    const before = await pids();

    await say(server, id, script({ say: LONG, chunkChars: 8, chunkDelayMs: 150 }));
    await watched.until('a preview', ({ type }) => type === 'event_delta', { from: watched.seen.length });
    const from = watched.seen.length;
    await postgres.kill();
    await expect(server.api.beta.sessions.retrieve(id)).rejects.toMatchObject({
      status: 503,
      type: 'api_error',
    });
    await expect(server.api.beta.agents.list()).rejects.toMatchObject({ status: 503 });
    // The log is in Temporal's history, or goes on when Postgres does.
    if (ENGINE === 'temporal') await watched.until('the end of the turn', isIdle, { from });
    await postgres.restart();

    await eventually('the API to answer', async () =>
      server.api.beta.sessions.retrieve(id).then(
        ({ status }) => status === 'idle',
        () => false,
      ),
    );
    expect(await pids()).toEqual(before);
    // A stream reads where the log is: it may have broken with the log's database, and lives on with Temporal.
    const open = ENGINE === 'temporal' ? watched : await watch(server, id);
    await eventually('previews again', async () =>
      previewed(await turn(server, id, open, script({ say: 'After.', chunkDelayMs: 50 }))),
    );
    const listed = await listAll(server.api, id);
    const ids = new Set(listed.map((event) => event.id));
    expect(ids.size).toBe(listed.length);
    const streamed = [...watched.seen, ...open.seen].flatMap(({ frame }) =>
      'processed_at' in frame && frame.processed_at !== null ? [frame.id] : [],
    );
    expect(streamed.filter((one) => !ids.has(one))).toEqual([]);
    if (open === watched) expect(new Set(streamed)).toEqual(ids);
    expect(listed.flatMap((event) => (event.type === 'agent.message' ? event.content : []))).toContainEqual({
      type: 'text',
      text: LONG,
    });
    const { temporalAddress } = server;
    const place = { engine: ENGINE, dataDir, temporalAddress, databaseUrl: url };
    checkLog(await withSessions(place, (sessions) => sessions.getEvents(id)), true);
    expect(server.supervisor.stderr()).not.toContain('starting it again');
  });
});
