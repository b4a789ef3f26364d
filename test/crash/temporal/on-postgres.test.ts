/** A Temporal server on Postgres dies, or its Postgres does: no turn is lost, and nothing that was accepted. */
import { APIError } from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type PostgresServer } from '../../../scripts/postgres.ts';
import {
  startTemporalOnPostgres,
  whyNoTemporalOnPostgres,
  type TemporalOnPostgres,
} from '../../../scripts/temporal-on-postgres.ts';
import {
  bash,
  checkSession,
  isIdle,
  isLogged,
  makeSession,
  measured,
  pause,
  say,
  script,
  toolResults,
  turn,
  watch,
  type Event,
  type Line,
  type Watch,
} from '../../support/crash-client.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../../support/crash-server.ts';
import { eventually } from '../../support/process.ts';

const problem = await whyNoTemporalOnPostgres({ log: (line) => void process.stderr.write(`${line}\n`) });
if (problem !== undefined) process.stderr.write(`SKIPPED: crashes of Temporal on Postgres: ${problem}\n`);

const CALLS = Array.from({ length: 8 }, (_, index) => `call-${index}`);
const DOWN_MS = 1500;
const TALKERS = 8;
const PAUSE_MS = 50;
const REST_WITHIN_MS = 60_000;

/** Turns that are hurt at different places: between and in tool calls, in a model's answer, before a retry of it. */
const TURNS: Readonly<Record<string, readonly Line[]>> = {
  tools: [...CALLS.map((call) => bash(`echo ${call} >> ran; sleep 0.6; echo ${call}`)), { say: 'done' }],
  talk: Array.from({ length: 3 }, (_, index) => [
    { say: `part ${index} of a long answer`, chunkChars: 1, chunkDelayMs: 60 },
    bash('true'),
  ])
    .flat()
    .concat({ say: 'done' }),
  retries: [{ fail: 529, times: 4 }, { say: 'done' }],
};

interface Work {
  readonly id: string;
  readonly kind: string;
  readonly watched: Watch;
}

describe.skipIf(problem !== undefined)('Temporal on Postgres', () => {
  let dataDir: string;
  let postgres: PostgresServer;
  let temporal: TemporalOnPostgres;
  let server: CrashServer;

  beforeAll(async () => {
    dataDir = await makeDataDir();
    postgres = await startPostgres();
    temporal = await startTemporalOnPostgres(postgres);
    server = await startCrashServer(dataDir, { TEMPORAL_ADDRESS: temporal.address });
  });

  afterAll(async () => {
    await cleanUp(dataDir, server);
    await temporal?.stop();
    await postgres?.stop();
  });

  const hurt: Readonly<Record<string, () => Promise<void>>> = {
    async 'the Temporal server'() {
      await temporal.kill();
      await pause(DOWN_MS);
      await temporal.restart();
    },
    async 'its Postgres'() {
      await postgres.kill();
      await pause(DOWN_MS);
      await postgres.restart();
    },
    async 'both at once'() {
      await Promise.all([temporal.kill(), postgres.kill()]);
      await pause(DOWN_MS);
      await postgres.restart();
      await temporal.restart();
    },
  };

  it.each(Object.keys(hurt))('%s is killed in the middle of several turns: all end', async (name) => {
    const works = await Promise.all(
      [...Object.keys(TURNS), ...Object.keys(TURNS)].map(async (kind): Promise<Work> => {
        const id = await makeSession(server);
        return { id, kind, watched: await watch(server, id) };
      }),
    );
    await Promise.all(
      works.map(async ({ id, kind }) => await say(server, id, script(...(TURNS[kind] ?? [])))),
    );
    const startedMs = Date.now();
    for (const when of ['first', 'again']) {
      // Later on the quickest says that work goes on: while the slowest comes back, the others would end.
      const more = works.filter(({ kind }) => kind !== 'retries').map(untilMore);
      await (when === 'first' ? Promise.all(more) : Promise.any(more));
      expect(works.filter(({ watched }) => !hasEnded(watched)).length).toBeGreaterThan(2);
      await hurt[name]?.();
    }
    const restartedMs = Date.now();
    for (const { watched } of works) await watched.until('the end of the turn', isIdle);
    measured(
      `${name} killed twice in the middle of turns, from the last restart to the end of all`,
      Date.now() - restartedMs,
    );
    measured(`${name}: all of it`, Date.now() - startedMs);

    for (const { id, kind, watched } of works) {
      const listed = await checkSession(server, id, watched);
      expect(saidBy(listed).at(-1)).toBe('done');
      if (kind === 'talk') expect(saidBy(listed)).toEqual(TURNS['talk']?.flatMap(({ say }) => say ?? []));
      if (kind === 'tools') {
        expect(toolResults(listed)).toEqual(CALLS.map((text) => ({ text, isError: false })));
        const frames = await turn(server, id, watched, script(bash('cat ran'), { say: 'ok' }));
        expect(toolResults(frames)).toEqual([{ text: CALLS.join('\n'), isError: false }]);
      }
      watched.close();
    }
  });

  it.each(Object.keys(hurt))(
    '%s is killed while messages come: none is lost, none is there twice',
    async (name) => {
      const id = await makeSession(server);
      const watched = await watch(server, id);
      await turn(server, id, watched, script({ say: 'before' }));
      const over = new AbortController();
      const talkers = Array.from({ length: TALKERS }, (_, at) =>
        talk(server, id, `talker ${at}`, over.signal),
      );
      await eventually('some messages', () => talkers.every(({ accepted }) => accepted.length > 1));
      await hurt[name]?.();
      over.abort();
      await Promise.all(talkers.map(({ done }) => done));
      await eventually('a message to be taken', () => say(server, id, 'the last').catch(() => undefined));
      await eventually('rest', () => isAnswered(watched, 'the last'), REST_WITHIN_MS);
      const listed = await checkSession(server, id, watched);

      const texts = listed.flatMap((event) => (event.type === 'user.message' ? [textOf(event)] : []));
      expect(texts.at(-1)).toBe('the last');
      expect(texts).toEqual([...new Set(texts)]);
      // One that was refused may be there: nobody knows how far it came.
      for (const { mark, accepted, refused } of talkers) {
        const sent = texts.filter((one) => one.startsWith(mark));
        expect(sent.filter((one) => !refused.includes(one))).toEqual(accepted);
      }
      watched.close();
    },
  );
});

interface Talker {
  readonly mark: string;
  readonly accepted: string[];
  readonly refused: string[];
  readonly done: Promise<void>;
}

/** Sends one message after another. */
function talk(server: CrashServer, sessionId: string, mark: string, over: AbortSignal): Talker {
  const accepted: string[] = [];
  const refused: string[] = [];
  const talking = async (): Promise<void> => {
    for (let count = 0; !over.aborted; count += 1) {
      const text = `${mark}, message ${count}`;
      try {
        await say(server, sessionId, text);
        accepted.push(text);
      } catch (error) {
        if (!(error instanceof APIError)) throw error;
        refused.push(text);
        await pause(PAUSE_MS);
      }
    }
  };
  return { mark, accepted, refused, done: talking() };
}

/** Waits until something more is logged; fails where nothing more will be. */
async function untilMore({ watched }: Work): Promise<void> {
  const from = watched.seen.length;
  if (hasEnded(watched)) throw new Error('it has ended');
  await watched.until('something more', isLogged, { from });
}

function hasEnded({ seen }: Watch): boolean {
  return seen.some(({ frame }) => isIdle(frame));
}

/** Whether the turn is over that took up this message. */
function isAnswered({ seen }: Watch, text: string): boolean {
  const taken = seen.findIndex(
    ({ frame }) => frame.type === 'user.message' && isLogged(frame) && textOf(frame) === text,
  );
  return taken !== -1 && seen.slice(taken).some(({ frame }) => isIdle(frame));
}

function saidBy(events: readonly Event[]): string[] {
  return events.flatMap((event) => (event.type === 'agent.message' ? [textOf(event)] : []));
}

function textOf({
  content,
}: {
  readonly content: readonly { readonly type: string; readonly text?: string }[];
}): string {
  return content.map((block) => block.text ?? '').join('');
}
