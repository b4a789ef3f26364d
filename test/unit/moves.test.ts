/** Moves between two engines in one process: whatever fails, and whoever carries on, a session has one log and one home. */
import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { Engine } from '../../src/engine.ts';
import { newId } from '../../src/id.ts';
import type { Draft, Entry } from '../../src/log.ts';
import type { EngineName } from '../../src/session/home.ts';
import { MoveRefusedError, MoveUnderWayError } from '../../src/session/moves.ts';
import { SessionGoneError, SessionTerminatedError } from '../../src/session.ts';
import { workflowIdOf } from '../../workflows/messages.ts';
import { created, said } from '../support/conversation.ts';
import { DATABASE_KINDS } from '../support/database.ts';
import { checkLog } from '../support/invariants.ts';
import { eventually } from '../support/process.ts';
import { createAnswers, createWorld, SILENT, type Fault, type World } from '../support/two-engines.ts';

const worlds: World[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close();
});

interface Stage {
  readonly world: World;
  readonly api: Engine;
  readonly id: string;
  /** Sends a message and answers its id. */
  say(engine?: Engine): Promise<string>;
  /** Waits until nothing is under way. */
  rest(): Promise<readonly Entry[]>;
}

/** A session, born on Temporal, an API, and a worker whose harness answers by itself. */
async function setStage(kind: (typeof DATABASE_KINDS)[number], thinkMs = () => 0): Promise<Stage> {
  const world = await createWorld(kind, thinkMs);
  worlds.push(world);
  const [api, worker] = [await world.open(), await world.open()];
  await worker.work(createAnswers(thinkMs), SILENT);
  const id = newId('sesn');
  const seed = (created() as Extract<Draft, { event: unknown }>).event;
  if (seed.type !== 'x.session_created') throw new Error('not what a session starts from');
  await api.sessions.create(id, { created: { ...seed, id: newId('sevt') }, initial: [] });
  return {
    world,
    api,
    id,
    async say(engine = api) {
      const event = newId('sevt');
      await engine.sessions.emitEvent(id, [said(event, 'hello')]);
      return event;
    },
    async rest() {
      await eventually('the session to rest', async () => {
        if ((await api.moves.where(id)).movingTo !== undefined) return false;
        const { loop } = await api.sessions.getSession(id);
        return loop.status === 'idle' && loop.queue.length === 0;
      });
      return api.sessions.getEvents(id);
    },
  };
}

async function move(engine: Engine, id: string, to: EngineName): Promise<void> {
  await engine.moves.begin(id, to);
  await engine.moves.carry(id);
  expect(await engine.moves.where(id)).toMatchObject({ engine: to, movingTo: undefined });
}

/** All that a tail gives, from the beginning on. */
async function watch({ sessions }: Engine, id: string): Promise<{ seen: Entry[]; stop: () => void }> {
  const over = new AbortController();
  const { entries } = await sessions.follow(id, over.signal, 0);
  const seen: Entry[] = [];
  void (async () => {
    for await (const piece of entries) seen.push(...piece);
  })().catch(() => undefined);
  return { seen, stop: () => over.abort() };
}

/** The one workflow that may run. */
async function checkHome({ world, api, id }: Stage): Promise<void> {
  const { engine } = await api.moves.where(id);
  const running = world.temporal.running;
  expect(running).toHaveLength(engine === 'temporal' ? 1 : 0);
  expect(running.every((name) => name.startsWith(id))).toBe(true);
}

describe.each(DATABASE_KINDS)('a move (%s)', (kind) => {
  test('takes the log along, there and back, under the eyes of a reader', async () => {
    const stage = await setStage(kind);
    const { api, id, say, rest } = stage;
    const { seen, stop } = await watch(api, id);
    for (const to of ['log', 'temporal', 'log', 'temporal'] as const) {
      await say();
      const before = await rest();
      await move(api, id, to);
      expect(await api.sessions.getEvents(id)).toEqual(before);
      await checkHome(stage);
    }
    await say();
    const entries = await rest();
    checkLog(entries, true);
    const texts = entries.flatMap(({ event }) => (event.type === 'agent.message' ? event.content : []));
    const by = ['by Temporal', 'by a harness', 'by Temporal', 'by a harness', 'by Temporal'];
    expect(texts.map((block) => ('text' in block ? block.text : ''))).toEqual(by);
    await eventually('the reader to have it all', () => seen.length === entries.length);
    expect(seen).toEqual(entries);
    stop();
    expect(stage.world.temporal.running).toEqual([workflowIdOf(id, 3)]);
  });

  test('waits for the end of a turn, not for a rest', async () => {
    const stage = await setStage(kind, () => 100);
    const { api, id, say, rest } = stage;
    for (const to of ['log', 'temporal'] as const) {
      const before = (await rest()).length;
      await say();
      await say();
      await move(api, id, to);
      const fresh = (await api.sessions.getEvents(id)).slice(before);
      expect(fresh.filter(({ event }) => event.type === 'agent.message').length).toBeGreaterThan(0);
      checkLog(await rest(), true);
    }
  });

  test('is refused while the session is on its way elsewhere', async () => {
    const { api, id, say, rest } = await setStage(kind, () => 200);
    await say();
    await api.moves.begin(id, 'log');
    await expect(api.moves.begin(id, 'temporal')).rejects.toThrow(MoveUnderWayError);
    await api.moves.begin(id, 'log');
    await api.moves.carry(id);
    await rest();
    await move(api, id, 'temporal');
  });

  test('ends where the session does', async () => {
    const { api, id, world } = await setStage(kind);
    await move(api, id, 'log');
    const over: Draft = { event: { id: newId('sevt'), type: 'session.status_terminated' } };
    await api.sessions.emitEvent(id, [over]);
    await api.moves.begin(id, 'temporal');
    await api.moves.carry(id);
    expect(await api.moves.where(id)).toMatchObject({ engine: 'log', movingTo: undefined });
    await expect(api.sessions.emitEvent(id, [said('m', 'hi')])).rejects.toThrow(SessionTerminatedError);
    await api.sessions.remove(id);
    await expect(api.sessions.getSession(id)).rejects.toThrow(SessionGoneError);
    expect(world.temporal.running).toEqual([]);
  });

  test('of a session that is deleted meanwhile leaves nothing behind', async () => {
    for (const path of [['log'], ['log', 'temporal']] as const) {
      const { api, id, world } = await setStage(kind);
      const other = await world.open();
      const last = path.at(-1) ?? 'log';
      for (const to of path.slice(0, -1)) await move(api, id, to);
      await other.moves.begin(id, last);
      await Promise.all([api.sessions.remove(id), other.moves.carry(id)]);
      await expect(api.sessions.getSession(id)).rejects.toThrow(SessionGoneError);
      await eventually('the last workflow to end', () => world.temporal.running.length === 0);
      await other.moves.carryAll();
      await expect(other.sessions.getSession(id)).rejects.toThrow(SessionGoneError);
    }
  });
});

test('a process without Temporal moves nothing there, and says so', async () => {
  const { api, id, world } = await setStage('sqlite');
  await move(api, id, 'log');
  const alone = await world.open(undefined, 'log');
  await expect(alone.moves.begin(id, 'temporal')).rejects.toThrow(MoveRefusedError);
  expect((await alone.sessions.getSession(id)).title).toBe('a title');
  await move(api, id, 'temporal');
  await expect(alone.sessions.getSession(id)).rejects.toThrow('lives on the temporal engine');
});

/** What happens, in order. */
type Act =
  | { readonly do: 'say' }
  | { readonly do: 'move'; readonly by: number; readonly to: EngineName }
  | { readonly do: 'crash'; readonly by: number }
  | { readonly do: 'pause'; readonly ms: number };

const acts: fc.Arbitrary<Act[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.constant<Act>({ do: 'say' }) },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('move' as const),
        by: fc.nat(1),
        to: fc.constantFrom<EngineName>('temporal', 'log'),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), by: fc.nat(1) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('pause' as const), ms: fc.nat(30) }) },
  ),
  { minLength: 4, maxLength: 14 },
);
const faults = fc.array(fc.constantFrom<Fault>('none', 'none', 'none', 'before', 'after'), {
  maxLength: 20,
});

describe.each(DATABASE_KINDS)('moves that fail anywhere (%s)', (kind) => {
  test('are carried to their end by others: nothing is lost, doubled, or at two places', async () => {
    await fc.assert(
      fc.asyncProperty(acts, faults, fc.nat(20), async (script, failing, thinkMs) => {
        const stage = await setStage(kind, () => thinkMs);
        const { world, api, id } = stage;
        const next = (): Fault => failing.shift() ?? 'none';
        const movers = [await world.open(next), await world.open(next)];
        const { seen, stop } = await watch(api, id);
        const acked: string[] = [];
        const sends: Promise<unknown>[] = [];
        for (const act of script) {
          if (act.do === 'say') sends.push(stage.say().then((event) => acked.push(event)));
          // What a failed beginning leaves behind is found by the sweep, or nothing has begun.
          if (act.do === 'move') await movers[act.by]?.moves.begin(id, act.to).catch(() => undefined);
          if (act.do === 'pause') await sleep(act.ms);
          if (act.do === 'crash') {
            await movers[act.by]?.close();
            movers[act.by] = await world.open(next);
          }
        }
        await Promise.all(sends);
        failing.length = 0;
        await api.moves.carryAll();
        const entries = await stage.rest();

        checkLog(entries, true);
        for (const event of acked)
          expect(entries.filter((entry) => entry.event.id === event)).toHaveLength(2);
        await eventually('the reader to have it all', () => seen.length >= entries.length);
        expect(seen).toEqual(entries);
        await eventually('one home', () =>
          checkHome(stage).then(
            () => true,
            () => false,
          ),
        );
        await checkHome(stage);
        stop();
        await worlds.pop()?.close();
      }),
      { numRuns: kind === 'sqlite' ? 30 : 15 },
    );
  }, 120_000);
});
