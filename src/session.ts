/**
 * Port: the session, an append-only event log that outlives every harness and every hand. It knows nothing of
 * models, containers or HTTP. Terms: see the glossary in `log.ts`.
 */
import type { Draft, Entry, HiddenBody } from './log.ts';
import type { LoopState } from './loop/state.ts';
import type { WrittenCarrier } from './session/archive.ts';
import type { AgentSnapshot } from './wire/event.ts';

/** What a session starts from. */
export interface SessionSeed {
  readonly created: Extract<HiddenBody, { type: 'x.session_created' }>;
  /** Client events that are there from the start; with any, the session is born running. */
  readonly initial: readonly Draft[];
}

/** A log does not hold together: part of it is missing, or does not fit. */
export class DamagedLogError extends Error {
  override readonly name: string = 'DamagedLogError';
}

/** What stands at a position of a log in a database is not what was written, or nothing does. */
export class DamagedRowError extends DamagedLogError {
  override readonly name = 'DamagedRowError';
  /** The first position that is known to be damaged. */
  readonly position: number;

  constructor(position: number, message: string) {
    super(message);
    this.position = position;
  }
}

/** Runs of a session were deleted before they were in the archive, or have come into it since. */
export class HistoryGapError extends DamagedLogError {
  override readonly name = 'HistoryGapError';
}

/** A piece of the log by position: `from` inclusive, `to` exclusive. */
export interface Slice {
  readonly from?: number;
  readonly to?: number;
  readonly order?: 'asc' | 'desc';
  readonly types?: readonly string[];
  /** Most entries to give, counted from the front in the order asked for. */
  readonly limit?: number;
  /** End with this event, and wait until it is there. */
  readonly throughId?: string;
}

/** Where an event stands in the list. */
export interface ListKey {
  readonly queued: boolean;
  readonly position: number;
  /** For a queued one: how long the log was. What has been settled since stands before it, but was not seen. */
  readonly length: number;
}

/** What the wire's event list can ask for. Times are RFC 3339 in UTC with six fractional digits. */
export interface EventQuery {
  readonly order: 'asc' | 'desc';
  readonly limit: number;
  readonly types?: readonly string[] | undefined;
  readonly createdAt?: {
    gt?: string | undefined;
    gte?: string | undefined;
    lt?: string | undefined;
    lte?: string | undefined;
  };
  readonly after?: ListKey | undefined;
}

/** A page of the list; `next`: the key to go on after, undefined on the last one. */
export interface EventPage {
  readonly entries: readonly Entry[];
  readonly next: ListKey | undefined;
}

/** What the log says about the session as a whole. */
export interface SessionView {
  readonly agent: AgentSnapshot;
  readonly environmentId: string;
  readonly title: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly loop: LoopState;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly terminatedAt: string | null;
  /** The number of entries. */
  readonly length: number;
}

/** A live tail: everything from a position on, also what is yet to come. */
export interface Tail {
  /** The position that the first entry has, or will have. */
  readonly from: number;
  /**
   * Gives small pieces, and reads the next one only when it is asked for: who is slow holds up nothing but himself.
   * Ends when the log is sealed for good (terminated) or the signal aborts; throws SessionGoneError on deletion.
   */
  readonly entries: AsyncIterable<readonly Entry[]>;
}

/** There is no such log (any more). */
export class SessionGoneError extends Error {
  override readonly name: string = 'SessionGoneError';
}

/** Another log stands under the session's id: it was deleted, and taken in again from a file. */
export class LogReplacedError extends SessionGoneError {
  override readonly name = 'LogReplacedError';
}

/** The log is there, but what writes it was stopped from outside: an operator, a limit of the engine. */
export class SessionStoppedError extends Error {
  override readonly name = 'SessionStoppedError';
}

/** The log takes no more events: the session is terminated. */
export class SessionTerminatedError extends Error {
  override readonly name = 'SessionTerminatedError';
}

/** A batch is too large to be written, even with its content kept outside. */
export class BatchTooLargeError extends Error {
  override readonly name = 'BatchTooLargeError';
}

/** The most events that may wait to be taken up; a batch of more can never be written. */
export const MOST_QUEUED = 500;

/** Too much is waiting to be taken up; try again later. */
export class SessionBusyError extends Error {
  override readonly name = 'SessionBusyError';
}

/** The port. Implementation: `session/temporal.ts`. */
export interface Sessions {
  /** Starts a session. Idempotent: a second call with the same id changes nothing. */
  create(id: string, seed: SessionSeed): Promise<void>;
  /**
   * Starts a session whose log begins with these carriers, content and all. Unless it is awake, it goes on when somebody
   * writes to it, or wakes it. Idempotent.
   */
  createFrom(id: string, carriers: readonly WrittenCarrier[], isAwake: boolean): Promise<void>;
  /**
   * Writes client events, all or none, and answers them as the log has them; those that are not visible yet
   * (no worker, a slow one) are answered as queued. Safe to repeat with the same event ids.
   *
   * @throws {SessionTerminatedError | SessionStoppedError | SessionGoneError | BatchTooLargeError | SessionBusyError}
   */
  emitEvent(id: string, drafts: readonly Draft[]): Promise<readonly Entry[]>;
  /** Reads a slice; needs no worker. Content is there in full. */
  getEvents(id: string, slice?: Slice): Promise<readonly Entry[]>;
  /** Reads a page of the list as the wire shows it: each event once, in its current form. Needs no worker. */
  listEvents(id: string, query: EventQuery): Promise<EventPage>;
  /**
   * Folds the log into what it says of the session; needs no worker. `live`: where the log is being followed in this
   * process anyway, as far as that has come, which is milliseconds behind at most.
   */
  getSession(id: string, freshness?: 'now' | 'live'): Promise<SessionView>;
  /**
   * Attaches to the log: at its end, or at position `from`, which gives what is there already first. Between the two
   * nothing is lost or given twice. At the end: attach first, then read, and nothing falls in between.
   */
  follow(id: string, signal: AbortSignal, from?: number): Promise<Tail>;
  /** Puts a session back to work. Harmless when it works already. */
  wake(id: string): Promise<void>;
  /** Erases the log and all that belongs to it. Idempotent. */
  remove(id: string): Promise<void>;
}
