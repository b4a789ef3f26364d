/** Processes are killed while sessions move: each has one home in the end, and nothing is lost or there twice. */
import { Client } from '@temporalio/client';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTemporal } from '../../../src/temporal-server/connection.ts';
import { workflowIdOf } from '../../../workflows/messages.ts';
import {
  bash,
  checkList,
  isIdle,
  makeSession,
  measured,
  script,
  toolResults,
  turn,
  watch,
  type Event,
} from '../../support/crash-client.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../../support/crash-server.ts';
import { eventually } from '../../support/process.ts';

type Engine = 'temporal' | 'log';
interface Whereabouts {
  readonly engine: Engine;
  readonly moving_to: Engine | null;
}

const KILLS = 4;
/** A move takes so long at most when nobody is killed. */
const LONGEST_PAUSE_MS = 80;

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir);
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

function call<T>(method: 'get' | 'post', path: string, body?: object): Promise<T> {
  return server.api[method](`/v1/x/sessions/${path}`, body && { body }) as Promise<T>;
}

/** Asks for a move, which may fail with the server. */
async function ask(id: string, to: Engine): Promise<void> {
  await call('post', `${id}/move`, { to }).catch(() => undefined);
}

/** Waits until the session has arrived somewhere. */
async function settled(id: string): Promise<Engine> {
  return await eventually(
    'the end of the move',
    async () => {
      const now = await call<Whereabouts>('get', id).catch(() => undefined);
      return now?.moving_to === null && now.engine;
    },
    60_000,
  );
}

/** The lives of a session that go on, as Temporal has them. */
async function running(id: string): Promise<string[]> {
  const connection = await connectTemporal(server.temporalAddress ?? '');
  try {
    const { workflow } = new Client({ connection, namespace: 'drover' });
    const found: string[] = [];
    for (let life = 1; ; life += 1) {
      const described = await workflow
        .getHandle(workflowIdOf(id, life))
        .describe()
        .catch(() => undefined);
      if (!described) return found;
      if (described.status.name === 'RUNNING') found.push(described.workflowId);
    }
  } finally {
    await connection.close();
  }
}

/** Sends a message again and again until it is taken. Answers what it says. */
async function insist(id: string, nth: number): Promise<string> {
  const text = `message ${nth}`;
  const events = [
    {
      type: 'user.message' as const,
      content: [{ type: 'text' as const, text: `${text} ${script({ say: `answer ${nth}` })}` }],
    },
  ];
  await eventually(
    `${text} to be taken`,
    () =>
      server.api.beta.sessions.events.send(id, { events }).then(
        () => true,
        () => false,
      ),
    60_000,
  );
  return text;
}

function textsOf(events: readonly Event[], type: 'user.message' | 'agent.message'): string[] {
  return events.flatMap((event) =>
    event.type === type ? event.content.map((block) => ('text' in block ? block.text : '')) : [],
  );
}

for (const role of ['api', 'worker', 'temporal'] as const) {
  describe(`a session whose ${role} is killed while it moves`, () => {
    it('has one home and all of its log in the end, however often', async () => {
      const id = await makeSession(server);
      const first = await watch(server, id);
      await turn(server, id, first, script(bash('export WORD=kept; echo kept > f'), { say: 'ready' }));
      first.close();

      const taken: string[] = [];
      const over = new AbortController();
      const sending = (async () => {
        for (let nth = 0; !over.signal.aborted; nth += 1) {
          taken.push(await insist(id, nth));
          await sleep(30);
        }
      })();
      let longest = 0;
      for (let nth = 0; nth < KILLS; nth += 1) {
        const to = (await settled(id)) === 'log' ? 'temporal' : 'log';
        const asked = ask(id, to);
        await sleep((nth * LONGEST_PAUSE_MS) / KILLS);
        const killed = await server.kill(role);
        await asked;
        await server.back(killed);
        await settled(id);
        longest = Math.max(longest, Date.now() - killed.atMs);
      }
      over.abort();
      await sending;
      measured(`the ${role} killed in a move, to its end, at the longest`, longest);

      const home = await settled(id);
      await eventually('the last answer', async () => {
        const { status } = await server.api.beta.sessions.retrieve(id);
        return status === 'idle';
      });
      const listed = await checkList(server, id);
      const said = textsOf(listed, 'user.message').map((text) => text.split(' ```', 1)[0] ?? '');
      for (const text of taken) expect(said.filter((one) => one === text).length, text).toBeGreaterThan(0);
      expect((await running(id)).length).toBe(home === 'temporal' ? 1 : 0);

      const second = await watch(server, id);
      const frames = await turn(server, id, second, script(bash('echo $WORD; cat f'), { say: 'done' }));
      expect(toolResults(frames)).toEqual([{ text: 'kept\nkept', isError: false }]);
      expect(frames.some(isIdle)).toBe(true);
      second.close();
    });
  });
}

describe('a whole server that is killed while sessions move', () => {
  it('goes on with the moves when it is started again', async () => {
    const ids = await Promise.all(Array.from({ length: 6 }, () => makeSession(server)));
    await Promise.all(ids.slice(3).map((id) => ask(id, 'log')));
    const before = await Promise.all(ids.map((id) => settled(id)));
    expect(before).toEqual(['temporal', 'temporal', 'temporal', 'log', 'log', 'log']);
    const asked = ids.map((id, nth) => ask(id, nth < 3 ? 'log' : 'temporal'));
    await sleep(20);
    await server.killAll();
    await Promise.all(asked);
    server = await startCrashServer(dataDir);
    for (const id of ids) {
      const home = await settled(id);
      expect((await running(id)).length).toBe(home === 'temporal' ? 1 : 0);
      const watched = await watch(server, id);
      await turn(server, id, watched, script({ say: 'here' }));
      await checkList(server, id);
      watched.close();
    }
  });
});
