/** A process's hold on a store: it can die, or lose touch, at any call. What is under way then may have happened or not. */
import type { LogStore } from '../../src/engine/log/store.ts';

/** At which end of a call something happens: before it has an effect, or after. */
export type Side = 'before' | 'after';

/** A store, as a process that may die has it. */
export interface MortalStore {
  readonly store: LogStore;
  /** Calls so far, by name. */
  readonly calls: readonly string[];
  readonly isDead: boolean;
  /** Resolves when it dies. */
  readonly died: Promise<void>;
  /** By what names this process has beaten. */
  readonly holders: ReadonlySet<string>;
  /**
   * Has something happen at a coming call, 1 being the next: the process dies, so that no call comes back or has an
   * effect from then on; or the call fails; or whatever else.
   */
  at(count: number, side: Side, blow: 'die' | 'fail' | (() => void)): void;
}

/** What is called by the clock is not counted: it would make counts differ from run to run. */
const BY_THE_CLOCK: readonly (keyof LogStore)[] = ['beat', 'due', 'moving', 'unsealed'];

const NEVER = new Promise<never>(() => undefined);

/** Wraps a store for one process. */
export function createMortalStore(inner: LogStore): MortalStore {
  const calls: string[] = [];
  const holders = new Set<string>();
  const blows = new Map<string, 'die' | 'fail' | (() => void)>();
  const died = Promise.withResolvers<void>();
  let isDead = false;

  function strike(count: number, side: Side, name: string): void {
    const blow = blows.get(`${count} ${side}`);
    if (blow === 'fail') throw new Error(`the database was lost ${side} ${name}`);
    if (blow === 'die') {
      isDead = true;
      died.resolve();
    } else blow?.();
  }

  const wrap =
    (name: keyof LogStore, call: (...args: unknown[]) => Promise<unknown>) =>
    async (...args: unknown[]): Promise<unknown> => {
      if (isDead) return await NEVER;
      if (name === 'beat') holders.add(String(args[0]));
      const count = BY_THE_CLOCK.includes(name) ? 0 : calls.push(name);
      strike(count, 'before', name);
      if (isDead) return await NEVER;
      const answer = await call(...args);
      if (!isDead) strike(count, 'after', name);
      return isDead ? await NEVER : answer;
    };
  const wrapped = Object.fromEntries(
    Object.entries(inner).map(([name, call]) => [
      name,
      name === 'close' ? call : wrap(name as keyof LogStore, call as () => Promise<unknown>),
    ]),
  );

  return {
    store: wrapped as unknown as LogStore,
    calls,
    holders,
    get isDead() {
      return isDead;
    },
    died: died.promise,
    at: (count, side, blow) => void blows.set(`${calls.length + count} ${side}`, blow),
  };
}
