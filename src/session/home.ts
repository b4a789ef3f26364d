/**
 * Port: where sessions live. A session's log is written by one engine at a time, its home. It may move to the other one
 * between two turns; positions, ids and times of what is in it stay as they are.
 */
import type { ArchivedCarrier } from './archive.ts';

/** The engines that a session can live on. */
export type EngineName = 'temporal' | 'log';

/** Where a session lives. */
export interface Home {
  readonly engine: EngineName;
  /** How often it has come to Temporal, its birth there included: each life is a workflow of its own. */
  readonly life: number;
  /** How many entries are in the archive: all; on Temporal, those that it brought along. */
  readonly base: number;
  /** Where it is about to go. */
  readonly movingTo: EngineName | undefined;
  /** Whether it is being deleted. */
  readonly isClosing: boolean;
}

/** The home of a session that was born on Temporal and never moved: nothing else is known of it. */
export const BORN_ON_TEMPORAL: Home = {
  engine: 'temporal',
  life: 1,
  base: 0,
  movingTo: undefined,
  isClosing: false,
};

/** Whether the session has not moved from the one to the other. */
export function isSameHome(left: Home, right: Home): boolean {
  return left.engine === right.engine && left.life === right.life;
}

/** Whether it has not come nearer to moving, or to having moved, either. */
export function isSameStep(left: Home, right: Home): boolean {
  return isSameHome(left, right) && left.movingTo === right.movingTo;
}

/** Logs in a database: of the sessions of the log engine, and of others what they were before they came to Temporal. */
export interface Archive {
  /** Carriers from a position on, in order, at most `limit`. */
  read(sessionId: string, position: number, limit: number): Promise<readonly ArchivedCarrier[]>;
}

/**
 * The port: one small row a session, next to the archive. Every change is one conditional write, so that whoever carries
 * a move out may be repeated, and overtaken, by others. Implementation: `engine/log/homes.ts`.
 *
 * A session of the log engine goes `leave` → sealed → `arrived`; one of Temporal goes `expect` → `adopt`.
 */
export interface Homes extends Archive {
  /** Undefined: nothing is known of it here. */
  find(sessionId: string): Promise<Home | undefined>;
  /**
   * Has a session leave the log engine for another life on Temporal: at once where nothing is due, else when its harness
   * gives it back at the end of its turn. From then on it takes no events here.
   */
  leave(sessionId: string): Promise<void>;
  /** Notes that a session that has left was taken in by Temporal. */
  arrived(sessionId: string, life: number): Promise<void>;
  /** Notes that a session of Temporal is asked to come to the log engine. */
  expect(sessionId: string): Promise<void>;
  /** Takes in a session that is expected: from here on it lives on the log engine. `carriers`: what its life there wrote. */
  adopt(sessionId: string, life: number, carriers: readonly ArchivedCarrier[]): Promise<void>;
  /** Ends any move: the session is being deleted. */
  close(sessionId: string): Promise<void>;
  /** Erases what is known here. Idempotent. */
  forget(sessionId: string): Promise<void>;
  /** Sessions that are on the move. */
  moving(limit: number): Promise<readonly string[]>;
  /** Resolves at the next change of a session, or after a while. */
  next(sessionId: string, withinMs: number, signal?: AbortSignal): Promise<void>;
}
