/**
 * Port: where the log engine keeps logs. A log is a sequence of carriers; each names the position of its first entry.
 * Beside it stands one small row a session, the head: how long the log is, who works on it, and whether anything is
 * due. All writes are conditional on the head, so that no two of them can disagree about a position.
 */
import type { Draft } from '../../log.ts';
import type { ArchivedCarrier } from '../../session/archive.ts';
import type { Segment } from '../../session/segments.ts';

/** One durable write, as it is read back. Its entries have the positions and microseconds from the first one on. */
export type CarrierRow = ArchivedCarrier;

/**
 * Where a log is written, as far as that is known here. `here`: by harnesses. `leaving`: by the one that has it, until
 * the turn ends. `sealed`: it has left, and may not have arrived on Temporal yet. `away`: on Temporal. `coming`: still
 * there, but it is asked to come. `reviving`: nowhere, its life on Temporal was ended from outside.
 */
export type Place = 'here' | 'leaving' | 'sealed' | 'away' | 'coming' | 'reviving';

/** What is known of a log beside its entries. */
export interface Head {
  readonly length: number;
  /** Counts the leases: an append under an older one is refused. */
  readonly epoch: number;
  readonly holder: string | null;
  /** Whether something is to be done, or under way. */
  readonly due: boolean;
  /** `closing`: it is being deleted. `terminated`: it takes no more events. */
  readonly state: 'open' | 'terminated' | 'closing';
  /** Leases that ended in the middle of operations since a harness last wrote something. */
  readonly losses: number;
  readonly place: Place;
  /** How often the session has come to Temporal; counts up when it is sealed. */
  readonly lives: number;
  /** The time of the last entry, in microseconds. */
  readonly lastUs: number;
  /** Of a session that is away: the run behind what is here. Null: its life's first one; `NO_RUN`: none. */
  readonly nextRun: string | null;
  /** Up to which position segments cover the log. */
  readonly sealed: number;
  /**
   * Names the log: one that is made anew under the session's id has another name. Null: of a session that was born on
   * Temporal, and of logs that are older than names.
   */
  readonly logId: string | null;
}

/** A stretch of a log that is written here, as it is to be sealed. */
export interface OwnSegment extends Omit<Segment, 'runId'> {
  /** The log that it was read from. */
  readonly logId: string | null;
}

/** A run that is to be sealed as a segment, with what has to be so for that. */
export interface NewSegment extends Segment {
  readonly runId: string;
  /** How long the log is here; its own carriers begin there. */
  readonly base: number;
  readonly after: string | null;
  readonly nextRun: string;
  readonly carriers: readonly CarrierRow[];
}

/** The right to write what the harness decides. Good until somebody else has claimed the session. */
export interface Lease {
  readonly sessionId: string;
  readonly epoch: number;
  readonly holder: string;
}

/** A lease as it is taken, and what it was taken on. */
export interface Claim extends Lease {
  readonly head: Head;
}

/** What a harness writes at once. */
export interface HarnessWrite {
  /** The length that the decision was taken on. */
  readonly expected: number;
  readonly drafts: readonly Draft[];
  /** The time of the first entry, unless the log is ahead of it. */
  readonly nowUs: number;
  /** Whether operations are under way: when this harness dies, another one takes them over. */
  readonly working: boolean;
}

/** `changed`: somebody else has written; read and decide anew. `fenced`: the lease is lost. */
export type Written = { readonly ok: CarrierRow | undefined } | { readonly refused: 'changed' | 'fenced' };

/** A session that a harness may have to look at. */
export interface Due {
  readonly sessionId: string;
  readonly length: number;
}

/** How sessions leave the log engine and come to it; each method is one conditional write. */
export interface MoveStore {
  /** Has an open session leave: where nothing is due it is sealed, else marked as leaving. Answers whether that is new. */
  sendAway(sessionId: string): Promise<boolean>;
  /** A session that is sealed with this life is away. */
  arrived(sessionId: string, life: number): Promise<void>;
  /** A session that is away, or not known here, is coming. Idempotent. */
  expect(sessionId: string): Promise<void>;
  /**
   * Takes in a session that comes from this life: its further carriers, in order, and makes it due. Changes nothing
   * unless the first of them follows what is there.
   */
  adopt(sessionId: string, life: number, carriers: readonly CarrierRow[]): Promise<void>;
  /**
   * Puts a segment behind what is here of a session that is away, or reviving, with this life, this next run and this
   * length. Of one that is not known here only the first run is taken, and only while its record says that it is not
   * being deleted. Answers whether that was so.
   */
  seal(sessionId: string, segment: NewSegment): Promise<boolean>;
  /** A session that is away with this life, or that is not known here, is reviving. Idempotent. */
  revive(sessionId: string, life: number): Promise<void>;
  /** A session that is reviving after this life is sealed, for the next one. */
  reborn(sessionId: string, life: number): Promise<void>;
  /** Open sessions that are leaving, sealed, coming or reviving. */
  moving(limit: number): Promise<string[]>;
}

/** Which sessions are looked at for what is not sealed. */
export interface UnsealedQuery {
  /** Those behind this id, in the order of ids. */
  readonly after: string;
  /** So many of them. */
  readonly among: number;
  /** So many entries behind the last segment are enough; of a session that is over, a single one is. */
  readonly entries: number;
}

/** The segments of logs that are written here. */
export interface SegmentStore {
  /**
   * Seals a stretch: where the log is written here, is the one that was read, and its segments end where this one
   * begins. Answers whether that was so.
   */
  sealOwn(sessionId: string, segment: OwnSegment): Promise<boolean>;
  /** In order. */
  segments(sessionId: string): Promise<Segment[]>;
  /** Sessions with something to seal. `last`: the last one that was looked at; undefined: there was none. */
  unsealed(
    query: UnsealedQuery,
  ): Promise<{ readonly ids: readonly string[]; readonly last: string | undefined }>;
}

/** The port. Implementations: `sqlite.ts`, `postgres.ts`. */
export interface LogStore extends MoveStore, SegmentStore {
  /**
   * Makes a log with its first carriers; with `due`, a harness is to look at it. `sealed`: for its first life on Temporal,
   * which is to begin; `away`: as if that were over. Idempotent.
   */
  create(
    sessionId: string,
    carriers: readonly CarrierRow[],
    due: boolean,
    place?: 'here' | 'sealed' | 'away',
  ): Promise<void>;
  head(sessionId: string): Promise<Head | undefined>;
  /** Carriers from a position on, in order, at most `limit`. */
  read(sessionId: string, position: number, limit: number): Promise<CarrierRow[]>;
  /** The carriers that hold these positions, each once, in order. */
  readAt(sessionId: string, positions: readonly number[]): Promise<CarrierRow[]>;
  /**
   * Appends what clients send, whatever the length is, and makes the session due. A batch whose first event is there
   * already changes nothing. Answers false when the log takes no events.
   */
  appendClient(sessionId: string, drafts: readonly Draft[], nowUs: number): Promise<boolean>;
  /** Makes the session due. Answers false when it is not there, or over. */
  touch(sessionId: string): Promise<boolean>;
  /** Marks the session as being deleted, and as due unless it is elsewhere. */
  startClosing(sessionId: string): Promise<void>;
  /**
   * Takes the lease where nobody has it, or its holder is silent, and the session is not elsewhere. Also where the asker
   * has it already: the answer to an earlier claim may have been lost.
   */
  claim(sessionId: string, holder: string): Promise<Claim | undefined>;
  append(lease: Lease, write: HarnessWrite): Promise<Written>;
  /**
   * Gives the lease back. `due`: somebody else is to go on. `lost`: what was under way ended with the lease. Without
   * `due` it is kept, and answers false, when the log is longer than `length`; and one that is leaving is sealed.
   */
  release(
    lease: Lease,
    how: { readonly length: number; readonly due: boolean; readonly lost: boolean },
  ): Promise<boolean>;
  /** Says that a harness lives. */
  beat(holder: string): Promise<void>;
  /** Forgets a harness that ends in order, and any that has been silent for a day. */
  leave(holder: string): Promise<void>;
  /** Sessions that are due and held by nobody who lives, and those that `holder` itself has and that are due. */
  due(holder: string, limit: number): Promise<Due[]>;
  /** Erases a log. Idempotent. */
  remove(sessionId: string): Promise<void>;
  /** Throws when the database cannot be reached. */
  check(): Promise<void>;
  close(): Promise<void>;
}

/** A harness that has not been heard of for so long is taken for dead. */
export const SILENT_AFTER_MS = 1500;

/** Whether segments of a log can be sealed here: it is written here, and is not being deleted. */
export function isSealable({ place, state }: Head): boolean {
  return (place === 'here' || place === 'leaving') && state !== 'closing';
}

/** After that, nothing of a dead harness matters any more. */
export const FORGOTTEN_AFTER_MS = 86_400_000;

/** The state that drafts leave a log in. */
export function stateAfter(drafts: readonly Draft[]): 'open' | 'terminated' {
  const isOver = drafts.some((draft) => 'event' in draft && draft.event.type === 'session.status_terminated');
  return isOver ? 'terminated' : 'open';
}

/** By what a repeated batch of a client is recognised. */
export function keyOf(drafts: readonly Draft[]): string | null {
  const [first] = drafts;
  return first && 'event' in first ? first.event.id : null;
}

/** Where carriers begin and end, and what state they leave a log in. */
export function extentOf(carriers: readonly CarrierRow[]) {
  const last = carriers.at(-1);
  const count = last?.drafts.length ?? 0;
  return {
    from: carriers[0]?.position ?? null,
    length: (last?.position ?? 0) + count,
    lastUs: (last?.timeUs ?? 0) + count - 1,
    state: stateAfter(last?.drafts ?? []),
  };
}
