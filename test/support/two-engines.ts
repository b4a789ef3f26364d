/** Processes that share a database with the log engine in it, and workflows in memory; what they do can be made to fail. */
import { joinParts, type Engine } from '../../src/engine.ts';
import { openLogEngine } from '../../src/engine/log.ts';
import type { Blobs } from '../../src/blobs.ts';
import type { Draft } from '../../src/log.ts';
import type { Notices } from '../../src/notices.ts';
import type { Operations } from '../../src/operations.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTestDatabase, type DatabaseKind } from './database.ts';
import { configOf } from './log-store.ts';
import { answerOf, createFakeTemporal, type FakeTemporal } from './fake-temporal.ts';

/** When a step fails: not at all, before it has an effect, or after. */
export type Fault = 'none' | 'before' | 'after';

/** A world of two engines. */
export interface World {
  readonly temporal: FakeTemporal;
  /**
   * Opens a process. `nextFault`: asked at each step of a move that it carries out. `only`: it has the log engine alone.
   */
  open(nextFault?: () => Fault, only?: 'log'): Promise<Engine>;
  /** Ends it all. */
  close(): Promise<void>;
}

/** For sessions in which nothing is heavy. */
export const NO_BLOBS: Blobs = {
  put: heavy,
  get: heavy,
  putBytes: heavy,
  getBytes: heavy,
  has: heavy,
  copy: heavy,
  removeAll: async () => undefined,
};
export const SILENT = { info: () => undefined, warn: () => undefined, error: () => undefined };

async function heavy(): Promise<never> {
  throw new Error('nothing here is heavy');
}

/** Makes a world. `thinkMs`: how long models take. */
export async function createWorld(kind: DatabaseKind, thinkMs = () => 0): Promise<World> {
  const database = await createTestDatabase(kind);
  const temporal = createFakeTemporal(thinkMs);
  const announce = createBus();
  const opened: Engine[] = [];

  return {
    temporal,
    async open(nextFault = () => 'none', only) {
      const part = await openLogEngine({
        config: configOf(database.place),
        blobs: NO_BLOBS,
        notices: announce(),
      });
      const homes = failing(part.homes, ['leave', 'arrived', 'expect', 'adopt'], nextFault);
      const other = temporal.part(part.homes);
      const lives = failing(other.lives, ['begin', 'end'], nextFault);
      const both = { log: { ...part, homes }, temporal: { ...other, lives }, missing: {} };
      const parts = only ? { ...both, temporal: undefined } : both;
      const engine = joinParts(parts, { config: { engine: only ?? 'temporal' }, blobs: NO_BLOBS });
      opened.push(engine);
      return engine;
    },
    async close() {
      for (const engine of opened) await engine.close().catch(() => undefined);
      await database.remove();
    },
  };
}

/** Operations of a harness whose model never calls tools. */
export function createAnswers(thinkMs: () => number): Operations {
  const none = async (): Promise<Draft[]> => [];
  return {
    async think({ spanId }) {
      await sleep(thinkMs());
      return answerOf(spanId, 'by a harness');
    },
    provision: none,
    execute: none,
    recall: none,
    release: async () => undefined,
  };
}

/** Some methods of an object fail when they are told to. */
function failing<T extends object>(inner: T, names: readonly (keyof T)[], nextFault: () => Fault): T {
  const wrapped = Object.fromEntries(
    names.map((name) => [
      name,
      async (...args: unknown[]) => {
        const fault = nextFault();
        if (fault === 'before') throw new Error(`${String(name)} did not happen`);
        const answer = await (inner[name] as (...args: unknown[]) => Promise<unknown>)(...args);
        if (fault === 'after') throw new Error(`nobody knows that ${String(name)} happened`);
        return answer;
      },
    ]),
  );
  return { ...inner, ...wrapped };
}

/** Makes the notices of one process after the other. `isLossy`: of announcements, only every other one arrives. */
export function createBus({ isLossy = false } = {}): () => Notices {
  const all = new Map<string, Set<(id: string) => void>>();
  let count = 0;
  return () => {
    const origin = `process-${all.size + 1}`;
    const own = new Set<(id: string) => void>();
    all.set(origin, own);
    return {
      origin,
      announce(id) {
        count += 1;
        if (isLossy && count % 2 === 0) return;
        for (const [other, listeners] of all)
          if (other !== origin) for (const listener of listeners) setImmediate(listener, id);
      },
      listen(listener) {
        own.add(listener);
        return () => void own.delete(listener);
      },
    };
  };
}
