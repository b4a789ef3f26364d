/**
 * The log engine without processes: an API and harnesses on one database, each with a store of its own that can die.
 * What operations produce, and when, is up to the test.
 */
import type { DatabasePlace } from '../../src/config.ts';
import { createLogEngine } from '../../src/engine/log.ts';
import { openLogStore } from '../../src/engine/log/open.ts';
import type { LogStore } from '../../src/engine/log/store.ts';
import { joinParts, type Engine } from '../../src/engine.ts';
import { newId } from '../../src/id.ts';
import type { Draft, SessionPolicy } from '../../src/log.ts';
import type { Operation } from '../../src/loop.ts';
import type { Attempt, Operations } from '../../src/operations.ts';
import type { Budget } from '../../src/wire/budget.ts';
import { created } from './conversation.ts';
import { createTestDatabase, execute, type DatabaseKind } from './database.ts';
import { createMortalStore, type MortalStore } from './mortal-store.ts';
import { policyOf } from './policy.ts';
import type { Running } from './simulation.ts';
import { createBus, NO_BLOBS, SILENT } from './two-engines.ts';

/** An attempt at an operation that is under way in a harness. */
export interface Ongoing extends Running {
  readonly sessionId: string;
  readonly harness: Harness;
  /** From 1. */
  readonly number: number;
  /** What names the hand that is to be made. */
  readonly provisioning: string | undefined;
  resolve(drafts: readonly Draft[]): void;
  reject(error: Error): void;
}

/** A harness that can die. */
export interface Harness {
  readonly mortal: MortalStore;
  /** Whether anything has happened to it that may have cost it sessions. */
  isHurt: boolean;
  /** Gives everything back in order, or dies over it. */
  stop(): Promise<void>;
}

/** The world. */
export interface LogWorld {
  /** The API's process. */
  readonly api: Engine;
  readonly apiStore: MortalStore;
  /** The database, seen by nobody's process. */
  readonly store: LogStore;
  /** All attempts that are under way in harnesses that live. */
  readonly ongoing: readonly Ongoing[];
  /** Hands that were freed. */
  readonly released: readonly string[];
  createSession(options?: Partial<SessionPolicy> & { budget?: Budget | null }): Promise<string>;
  /** `onAttempt`: hears of each attempt that begins. */
  startHarness(onAttempt?: (one: Ongoing) => void): Promise<Harness>;
  /** Has a harness taken for dead, at once and whether it is or not, until it is heard of again. */
  silence(harness: Harness): Promise<void>;
  close(): Promise<void>;
}

/** Makes a world without harnesses. `isLossy`: of announcements, only every other one arrives. */
export async function createLogWorld(kind: DatabaseKind, { isLossy = false } = {}): Promise<LogWorld> {
  const database = await createTestDatabase(kind);
  const announce = createBus({ isLossy });
  const harnesses: Harness[] = [];
  const engines: Engine[] = [];
  const ongoing = new Set<Ongoing>();
  const released: string[] = [];

  async function open(): Promise<{ engine: Engine; mortal: MortalStore }> {
    const notices = announce();
    const mortal = createMortalStore(await openStore(database.place, notices.origin));
    const log = createLogEngine(mortal.store, { blobs: NO_BLOBS, notices });
    const parts = { log, temporal: undefined, missing: {} };
    const engine = joinParts(parts, { config: { engine: 'log' }, blobs: NO_BLOBS });
    engines.push(engine);
    return { engine, mortal };
  }

  const { engine: api, mortal: apiStore } = await open();
  const store = await openStore(database.place, 'nobody');

  return {
    api,
    apiStore,
    store,
    released,
    get ongoing() {
      return [...ongoing].filter(({ harness }) => !harness.mortal.isDead);
    },
    async createSession({ budget = null, ...policy } = {}) {
      const id = newId('sesn');
      const seed = created();
      if (!('event' in seed) || seed.event.type !== 'x.session_created') throw new Error('no seed');
      const first = { ...seed.event, id: newId('sevt'), budget, policy: policyOf(policy) };
      await api.sessions.create(id, { created: first, initial: [] });
      return id;
    },
    async startHarness(onAttempt = () => undefined) {
      const { engine, mortal } = await open();
      const harness: Harness = {
        mortal,
        isHurt: false,
        async stop() {
          harness.isHurt = true;
          await Promise.race([work.stop(), mortal.died]);
        },
      };
      const operations = createOngoing((one, interrupted) => {
        const whole = { ...one, harness };
        ongoing.add(whole);
        interrupted.addEventListener('abort', () => (whole.cancelled = true), { once: true });
        if (interrupted.aborted) whole.cancelled = true;
        onAttempt(whole);
        return () => void ongoing.delete(whole);
      }, released);
      const work = await engine.work(operations, SILENT);
      harnesses.push(harness);
      return harness;
    },
    async silence(harness) {
      harness.isHurt = true;
      for (const holder of harness.mortal.holders)
        await execute(database.place, `delete from harnesses where id = '${holder}'`);
    },
    async close() {
      // Of one that is dead this ends the timers.
      await Promise.all(harnesses.map((harness) => harness.stop()));
      for (const engine of engines) await engine.close().catch(() => undefined);
      await store.close();
      await database.remove();
    },
  };
}

async function openStore(database: DatabasePlace, origin: string): Promise<LogStore> {
  const temporal = { address: undefined, namespace: '', taskQueue: '' };
  return await openLogStore({ engine: 'log', dataDir: '', database, temporal }, origin);
}

/** What an operation is about. */
interface Of {
  readonly sessionId: string;
  readonly spanId?: string;
  readonly provisioning?: string;
}

type Begin = (one: Omit<Ongoing, 'harness'>, interrupted: AbortSignal) => () => void;

/** Operations that end when the test says so. */
function createOngoing(begin: Begin, released: string[]): Operations {
  const run = (
    { sessionId, spanId = '', provisioning }: Of,
    operation: Operation,
    { number, lost, watch }: Attempt,
  ) =>
    watch(async (signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<readonly Draft[]>();
      const over = begin(
        { sessionId, operation, spanId, provisioning, number, cancelled: false, resolve, reject },
        signal,
      );
      lost.addEventListener('abort', over, { once: true });
      return await promise.finally(over);
    }, 'leave');
  return {
    think: (input, attempt) =>
      run(input, { kind: 'model', summary: '', leftMicrocents: input.leftMicrocents }, attempt),
    provision: (input, attempt) => run(input, { kind: 'provision' }, attempt),
    execute: (input, attempt) =>
      run(input, { kind: 'tool', callId: input.callId, summary: '', runner: 'hand' }, attempt),
    recall: (input, attempt) =>
      run(input, { kind: 'tool', callId: input.callId, summary: '', runner: 'log' }, attempt),
    release: async ({ id }) => void released.push(id),
  };
}
