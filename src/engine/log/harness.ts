/**
 * A harness: claims sessions that are due and works on them. Stateless; any number of them work side by side on one
 * database. One that dies is noticed by its silence, and others go on with its sessions.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from '../../log-line.ts';
import { messageOf } from '../../operations.ts';
import type { Changes } from './changes.ts';
import { startDriver, type Driver, type DriverDeps } from './driver.ts';

/** What a harness is made of. */
export interface HarnessDeps extends DriverDeps {
  readonly changes: Changes;
  readonly log: Logger;
}

/** A harness at work. */
export interface Harness {
  /** Gives all sessions back, so that others can go on at once. */
  stop(): Promise<void>;
}

const BEAT_MS = 300;
/** Sessions are announced when they become due; this finds those of dead harnesses, and what was not announced. */
const SWEEP_MS = 200;
const MOST_SESSIONS = 1000;
const LET_GO_AT_ONCE = 50;

/** Starts a harness. While it has no session, it only looks for some. */
export function startHarness(deps: HarnessDeps): Harness {
  const { store, changes, log } = deps;
  const holder = `harness-${randomUUID()}`;
  const drivers = new Map<string, Driver>();
  const claiming = new Set<string>();
  let isStopping = false;
  let beatenMs = 0;
  log.info('harness', { holder });

  async function beat(): Promise<void> {
    await store.beat(holder);
    beatenMs = Date.now();
  }

  async function claim(sessionId: string): Promise<void> {
    if (isStopping || claiming.has(sessionId)) return;
    if (drivers.size >= MOST_SESSIONS) return makeRoom();
    claiming.add(sessionId);
    try {
      // One that holds nothing does not say that it lives.
      if (Date.now() - beatenMs > BEAT_MS) await beat();
      const lease = await store.claim(sessionId, holder);
      if (!lease) return;
      const driver = startDriver(lease, deps);
      drivers.set(sessionId, driver);
      void driver.over.then(() => {
        if (drivers.get(sessionId) === driver) drivers.delete(sessionId);
      });
      if (isStopping) await driver.giveUp();
    } finally {
      claiming.delete(sessionId);
    }
  }

  /** Sessions that only linger give way; the sweep comes back to those that had to wait. */
  function makeRoom(): void {
    for (const driver of [...drivers.values()].filter(({ isAtRest }) => isAtRest).slice(0, LET_GO_AT_ONCE))
      driver.letGo();
  }

  /** Its holder hears of the change itself; what has none is taken. */
  async function look(sessionId: string): Promise<void> {
    const driver = drivers.get(sessionId);
    if (driver) return driver.nudge();
    const head = await store.head(sessionId);
    if (head?.due === true && head.holder === null) await claim(sessionId);
  }

  async function sweep(): Promise<void> {
    if (isStopping) return;
    for (const { sessionId, length } of await store.due(holder, MOST_SESSIONS)) {
      const driver = drivers.get(sessionId);
      if (driver && (length > driver.length || driver.isAtRest)) driver.nudge();
      if (!driver) await claim(sessionId);
    }
  }

  const guarded = (what: string, work: () => Promise<void>): (() => void) => {
    let isBusy = false;
    return () => {
      if (isBusy) return;
      isBusy = true;
      work()
        .catch((error: unknown) => log.warn(what, { error: messageOf(error) }))
        .finally(() => {
          isBusy = false;
        });
    };
  };

  const stopListening = changes.listen((sessionId) => {
    look(sessionId).catch((error: unknown) =>
      log.warn('a session could not be looked at; it will be tried again', { error: messageOf(error) }),
    );
  });
  const timers = [
    setInterval(
      guarded('a heartbeat could not be written', async () => {
        if (drivers.size > 0 || claiming.size > 0) await beat();
      }),
      BEAT_MS,
    ),
    setInterval(guarded('due sessions could not be looked for', sweep), SWEEP_MS),
  ];

  return {
    async stop() {
      isStopping = true;
      stopListening();
      for (const timer of timers) clearInterval(timer);
      await Promise.allSettled([...drivers.values()].map((driver) => driver.giveUp()));
      await store.leave(holder).catch(() => undefined);
    },
  };
}
