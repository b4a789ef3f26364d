/**
 * Random lives of sessions on the log engine, while harnesses die at any of their writes, lose the answers to them, are
 * taken for dead and come back: every log stays legal, each result is there once, and every session comes to rest.
 */
import fc from 'fast-check';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { newId } from '../../src/id.ts';
import type { Draft, Entry } from '../../src/log.ts';
import { EMPTY } from '../../src/loop/state.ts';
import { foldView } from '../../src/view.ts';
import { checkLog } from '../support/invariants.ts';
import { bringToRest, move, play, settings, type Life, type Move } from '../support/lives.ts';
import { createLogWorld, type Harness, type LogWorld, type Ongoing } from '../support/log-world.ts';
import type { Side } from '../support/mortal-store.ts';
import { eventually } from '../support/process.ts';

/** What happens beside what happens to the session. `count`: at which of the calls of the store that come next. */
type Blow =
  | { readonly kind: 'die' | 'fail' | 'failApi'; readonly count: number; readonly side: Side }
  | { readonly kind: 'silence' | 'restart' };

/** `isQuick`: what comes next does not wait for what the harnesses make of it. */
type Step = ({ readonly move: Move } | { readonly blow: Blow }) & { readonly isQuick: boolean };

interface Plan {
  readonly options: Parameters<LogWorld['createSession']>[0];
  readonly steps: readonly Step[];
}

const SESSIONS = 3;
const HARNESSES = 2;
/** Worlds that exist at once: most of the time they wait. */
const AT_ONCE = 6;

const blow: fc.Arbitrary<Blow> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('die' as const, 'die' as const, 'fail' as const, 'failApi' as const),
      count: fc.integer({ min: 1, max: 8 }),
      side: fc.constantFrom('before' as const, 'after' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('silence' as const, 'restart' as const),
    }),
  },
);

const isQuick = fc.nat(3).map((one) => one === 0);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ move, isQuick }) },
  { weight: 1, arbitrary: fc.record({ blow, isQuick }) },
);

const worlds = fc.array(
  fc.record({
    isLossy: fc.boolean(),
    plans: fc.array(fc.record({ options: settings, steps: fc.array(step, { maxLength: 40, size: 'max' }) }), {
      minLength: 1,
      maxLength: SESSIONS,
    }),
  }),
  { minLength: AT_ONCE, maxLength: AT_ONCE },
);

/** A world with two harnesses at all times. */
interface Stage {
  readonly world: LogWorld;
  readonly harnesses: readonly Harness[];
  /** What was given to operations as their results, and by whom they ran. */
  readonly given: { readonly one: Ongoing; readonly drafts: readonly Draft[] }[];
  /** How often anything was hurt. */
  readonly blows: () => number;
  readonly strike: (blow: Blow) => Promise<void>;
}

async function setStage(isLossy: boolean): Promise<Stage> {
  const world = await createLogWorld('sqlite', { isLossy });
  const harnesses: Harness[] = [];
  let blows = 0;
  let turn = 0;
  const onAttempt = ({ number }: Ongoing): void => {
    if (blows === 0) expect(number).toBe(1);
    expect(number).toBeLessThanOrEqual(1 + blows);
  };
  async function add(): Promise<void> {
    const harness = await world.startHarness(onAttempt);
    harnesses.push(harness);
    void harness.mortal.died.then(() => replace(harness));
  }
  async function replace(dead: Harness): Promise<void> {
    dead.isHurt = true;
    const at = harnesses.indexOf(dead);
    if (at === -1) return;
    harnesses.splice(at, 1);
    await add();
    if (dead.mortal.isDead) await world.silence(dead);
  }

  for (let count = 0; count < HARNESSES; count += 1) await add();
  return {
    world,
    harnesses,
    given: [],
    blows: () => blows,
    async strike(what) {
      const victim = harnesses[(turn += 1) % harnesses.length];
      if (!victim) return;
      blows += 1;
      switch (what.kind) {
        case 'die':
          victim.isHurt = true;
          victim.mortal.at(what.count, what.side, 'die');
          break;
        case 'fail':
          victim.isHurt = true;
          victim.mortal.at(what.count, what.side, 'fail');
          break;
        case 'failApi':
          world.apiStore.at(what.count, what.side, 'fail');
          break;
        case 'silence':
          await world.silence(victim);
          break;
        case 'restart':
          await victim.stop();
          await replace(victim);
          break;
      }
    },
  };
}

async function createLife({ world, harnesses, given, strike }: Stage, id: string): Promise<Life> {
  let entries: readonly Entry[] = [];
  let state = EMPTY;
  const sent = new Map<string, readonly Draft[]>();
  const running = (): Ongoing[] => world.ongoing.filter(({ sessionId }) => sessionId === id);

  /** A client repeats what was not answered; the ids stay the same. */
  async function emit(drafts: readonly Draft[]): Promise<void> {
    await eventually('the API to take events', () =>
      world.api.sessions.emitEvent(id, drafts).then(
        () => true,
        () => false,
      ),
    );
  }
  async function look(): Promise<void> {
    await eventually('the API to give events', async () => {
      const read = await world.api.sessions.getEvents(id).catch(() => undefined);
      entries = read ?? entries;
      return read !== undefined;
    });
    state = foldView(undefined, entries).loop;
  }

  return {
    log: {
      get entries() {
        return entries;
      },
    },
    state: () => state,
    get running() {
      return running();
    },
    id: (prefix = 'sevt') => newId(prefix as 'sevt'),
    look,
    async settle() {
      await eventually(
        `session ${id} to do something or to rest`,
        async () => running().length > 0 || !(await world.store.head(id))?.due,
        20_000,
      );
      await look();
    },
    async send(...events) {
      // What a client repeats is a request, with all that was in it.
      const batch = events.flatMap(({ id }) => sent.get(id) ?? []);
      const drafts = batch.length > 0 ? batch : events.map((event) => ({ event }));
      for (const { id } of events) if (batch.length === 0) sent.set(id, drafts);
      await emit(drafts);
    },
    update: (changes) => emit([{ event: { id: newId('sevt'), type: 'session.updated', ...changes } }]),
    wish: () => emit([{ event: { id: newId('sevt'), type: 'x.compaction_requested' } }]),
    async crash() {
      const [one] = running();
      const victim = one?.harness ?? harnesses[0];
      if (victim) await strike({ kind: 'die', count: 1, side: 'before' });
    },
    async finish(one, drafts) {
      const ongoing = one as Ongoing;
      given.push({ one: ongoing, drafts });
      ongoing.resolve(drafts);
      await nextTurn();
    },
  };
}

async function live(stage: Stage, { options, steps }: Plan): Promise<Life> {
  const life = await createLife(stage, await stage.world.createSession(options));
  for (const one of steps) {
    if ('move' in one) await play(life, one.move);
    else await stage.strike(one.blow);
    if (!one.isQuick) await life.settle?.();
  }
  await bringToRest(life);
  return life;
}

async function check(stage: Stage, lives: readonly Life[]): Promise<void> {
  for (const { log, state } of lives) {
    checkLog(log.entries, true);
    expect(state()).toMatchObject({ status: 'idle', queue: [], interrupts: [], stamps: [] });
  }
  const ids = lives.flatMap(({ log }) => log.entries.map(({ event }) => event.id));
  for (const { one, drafts } of stage.given) {
    for (const draft of drafts) {
      const id = 'event' in draft ? draft.event.id : draft.processed;
      const times = ids.filter((other) => other === id).length;
      expect(times).toBeLessThanOrEqual(1);
      if (!one.harness.isHurt && stage.blows() === 0) expect(times).toBe(1);
    }
  }
}

test('no death and no lost answer breaks a log', { timeout: 120_000 }, async () => {
  expect.hasAssertions();
  await fc.assert(
    fc.asyncProperty(worlds, async (all) => {
      await Promise.all(
        all.map(async ({ isLossy, plans }) => {
          const stage = await setStage(isLossy);
          try {
            await check(stage, await Promise.all(plans.map((plan) => live(stage, plan))));
          } finally {
            await stage.world.close();
          }
        }),
      );
    }),
    { numRuns: 6 },
  );
});
