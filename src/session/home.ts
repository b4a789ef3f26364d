/**
 * Port: where sessions live. A session's log is written by one engine at a time, its home. It may move to the other one
 * between two turns; positions, ids and times of what is in it stay as they are.
 */
import type { ArchivedCarrier } from './archive.ts';
import type { Segment } from './segments.ts';
import type { CarrierSource } from './stretch.ts';

/** The engines that a session can live on. */
export type EngineName = 'temporal' | 'log';

/** Where a session lives. */
export interface Home {
  readonly engine: EngineName;
  /** How often it has come to Temporal, its birth there included: each life is a workflow of its own. */
  readonly life: number;
  /** How many entries are in the archive: all; on Temporal, those that it brought along, and of runs that are sealed. */
  readonly base: number;
  /** The time of the last of them, in microseconds; 0: there are none. */
  readonly lastUs: number;
  /** On Temporal: the run that follows what is in the archive. Undefined: the first one of this life. */
  readonly nextRunId: string | undefined;
  /** On Temporal: whether this life is over, and all of it in the archive. */
  readonly isSealed: boolean;
  /** Where it is about to go. */
  readonly movingTo: EngineName | undefined;
  /** Whether its life on Temporal was ended from outside, and it is being taken up there again. */
  readonly isReviving: boolean;
  /** Whether it is being deleted. */
  readonly isClosing: boolean;
  /** Up to which position segments cover the archive. */
  readonly sealed: number;
  /** Names the log: a session that was deleted, and taken in again from a file, has another one. */
  readonly logId: string | null;
}

/** The home of a session that was born on Temporal and never moved: nothing else is known of it. */
export const BORN_ON_TEMPORAL: Home = {
  engine: 'temporal',
  life: 1,
  base: 0,
  lastUs: 0,
  nextRunId: undefined,
  isSealed: false,
  movingTo: undefined,
  isReviving: false,
  isClosing: false,
  sealed: 0,
  logId: null,
};

/** Whether the session has not moved from the one to the other. */
export function isSameHome(left: Home, right: Home): boolean {
  return left.engine === right.engine && left.life === right.life;
}

/** Whether it has not come nearer to moving, or to having moved, either. */
export function isSameStep(left: Home, right: Home): boolean {
  return isSameHome(left, right) && left.movingTo === right.movingTo;
}

/** A run of a life on Temporal that is over. */
export interface SealedRun {
  readonly life: number;
  /** What was known of the run that follows the archive when this one was read. */
  readonly after: string | undefined;
  readonly runId: string;
  /** The run that follows it; undefined: none, the life is over. */
  readonly nextRunId: string | undefined;
  /** How many entries the archive has before it. */
  readonly base: number;
  /** What it wrote, behind all that is in the archive. */
  readonly carriers: readonly ArchivedCarrier[];
}

/** Logs in a database: of the sessions of the log engine, and of others what they were before they came to Temporal. */
export type Archive = CarrierSource;

/** How a session begins that has a log already. */
export interface Birth {
  readonly engine: EngineName;
  /** Whether it goes on by itself; else when somebody writes to it, or wakes it. */
  readonly isAwake: boolean;
}

/** What is known of an archive besides its carriers. */
export interface Segments {
  /** In order. */
  segments(sessionId: string): Promise<readonly Segment[]>;
}

/**
 * The port: one small row a session, next to the archive. Every change is one conditional write, so that whoever carries
 * a move out may be repeated, and overtaken, by others. Implementation: `engine/log/homes.ts`.
 *
 * A session of the log engine goes `leave` → sealed → `arrived`; one of Temporal goes `expect` → `adopt`. One whose
 * life on Temporal was ended from outside goes `revive` → `reborn` → sealed → `arrived`.
 */
export interface Homes extends Archive, Segments {
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
  /**
   * Puts a run that is over into the archive, as a segment. Answers whether it did: somebody else may have, and a session
   * that is being deleted, or has moved on, takes nothing in.
   */
  seal(sessionId: string, run: SealedRun): Promise<boolean>;
  /** Makes a session whose log begins with these carriers. Idempotent. */
  bear(sessionId: string, birth: Birth, carriers: readonly ArchivedCarrier[]): Promise<void>;
  /** Notes that a session's life on Temporal is over although the session is not. */
  revive(sessionId: string, life: number): Promise<void>;
  /** Has a session that is being revived begin another life on Temporal, with what is in the archive. */
  reborn(sessionId: string, life: number): Promise<void>;
  /** Ends any move: the session is being deleted. */
  close(sessionId: string): Promise<void>;
  /** Erases what is known here. Idempotent. */
  forget(sessionId: string): Promise<void>;
  /** Sessions that are on the move. */
  moving(limit: number): Promise<readonly string[]>;
  /** Resolves at the next change of a session, or after a while. */
  next(sessionId: string, withinMs: number, signal?: AbortSignal): Promise<void>;
}
