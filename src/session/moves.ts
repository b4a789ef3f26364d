/**
 * Moves of sessions between engines. What is to happen is durable before it begins, each step may be repeated, and any
 * process may carry it on; a session is never written to by two engines.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Tally } from '../log.ts';
import type { LoopState } from '../loop/state.ts';
import { SessionGoneError, type SessionSeed, type Sessions, type SessionView } from '../session.ts';
import { foldView } from '../view.ts';
import { settle, tallyOf, type FinishedRun, type WrittenCarrier } from './archive.ts';
import { isSameHome, type EngineName, type Home, type Homes } from './home.ts';
import { range } from './kept-log.ts';
import type { Reader } from './reader.ts';
import type { Readers } from './readers.ts';
import { readCarriers } from './stretch.ts';

/** Lives of sessions on Temporal. Implementation: `engine/temporal/lives.ts`. */
export interface Lives {
  /** Begins the life that the home names. Changes nothing where it has begun already, or is over. */
  begin(
    sessionId: string,
    home: Home,
    brings: { readonly seed: SessionSeed['created']; readonly state: LoopState; readonly tally: Tally },
  ): Promise<void>;
  /** Reads a run that is over; undefined: its history is gone. */
  read(sessionId: string, life: number, runId: string): Promise<FinishedRun | undefined>;
  /**
   * Puts the runs of a life that are over into the archive. Answers whether the life is there: its histories may be gone.
   */
  seal(sessionId: string, life: number): Promise<boolean>;
  /** Has the session leave between two turns, waits until it has, and answers what it wrote behind what is sealed. */
  end(sessionId: string, home: Home, signal: AbortSignal): Promise<readonly WrittenCarrier[]>;
  /** Erases a life. Idempotent. */
  undo(sessionId: string, home: Home): Promise<void>;
}

/** Where a session is, for whoever wants to know. */
export type Whereabouts = Pick<Home, 'engine' | 'movingTo'>;

/** The moves that a process carries out. */
export interface Moves {
  where(id: string): Promise<Whereabouts>;
  /**
   * Has a session move to an engine. It is certain to when this resolves.
   *
   * @throws {MoveRefusedError | MoveUnderWayError | SessionGoneError}
   */
  begin(id: string, to: EngineName): Promise<void>;
  /**
   * Has a session that was stopped from outside of Drover go on in another life. Answers whether it may: one that is
   * terminated, or being deleted, stays so.
   */
  revive(id: string): Promise<boolean>;
  /** Carries a session's move on, if there is one, and resolves when it has come to its end. */
  carry(id: string): Promise<void>;
  /** The same, but waits for it only so long. Answers where the session is then. */
  carryFor(id: string, limitMs: number): Promise<Whereabouts>;
  /** Carries on what others have left. Does not wait for it. */
  carryAll(): Promise<void>;
  /** Leaves everything as it is, for others to carry on. */
  stop(): void;
}

/** This server cannot move sessions to that engine. */
export class MoveRefusedError extends Error {
  override readonly name = 'MoveRefusedError';
}

/** The session is on its way to the other engine. */
export class MoveUnderWayError extends Error {
  override readonly name = 'MoveUnderWayError';
}

/** What moves are made of. */
export interface MovesDeps {
  readonly homeOf: (id: string) => Promise<Home>;
  readonly homes: Homes | undefined;
  readonly lives: Lives | undefined;
  /** Why there is an engine that sessions cannot be moved to. */
  readonly missing: Readonly<Partial<Record<EngineName, string>>>;
  readonly sessions: Sessions;
  readonly readers: Readers;
  /** Told of what went wrong; it is tried again. */
  readonly onFailure: (id: string, error: unknown) => void;
}

const LOOK_AGAIN_MS = 100;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
const MOST_AT_ONCE = 100;
/** Entries that are folded at a time. */
const PIECE = 500;

/** Makes the moves of a process. */
export function createMoves(deps: MovesDeps): Moves {
  const { homeOf, homes, lives, missing, onFailure } = deps;
  const stopping = new AbortController();
  const { signal } = stopping;
  const underWay = new Map<string, Promise<void>>();
  const move = homes && lives && createMove({ ...deps, homes, lives }, signal);

  /** Sessions that somebody has asked for since they were last looked at. */
  const asked = new Set<string>();

  async function persist(id: string): Promise<void> {
    for (let failures = 0; ; failures += 1) {
      try {
        return await move?.(id);
      } catch (error) {
        if (signal.aborted) return;
        onFailure(id, error);
        if (error instanceof SessionGoneError) return;
        const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS);
        await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** Whoever joins just when a move is over may have begun another one: it is looked at once more. */
  async function untilNobodyAsks(id: string): Promise<void> {
    while (asked.delete(id) && !signal.aborted) await persist(id);
    underWay.delete(id);
  }

  function carry(id: string): Promise<void> {
    asked.add(id);
    const known = underWay.get(id);
    if (known) return known;
    const work = untilNobodyAsks(id);
    underWay.set(id, work);
    return work;
  }

  return {
    where: homeOf,
    async begin(id, to) {
      const { engine, movingTo } = await homeOf(id);
      if (movingTo !== undefined && movingTo !== to)
        throw new MoveUnderWayError(`session ${id} is being moved to the ${movingTo} engine`);
      if (engine === to && movingTo === undefined) return;
      if (!homes || !lives) throw new MoveRefusedError(missing[to] ?? `there is no ${to} engine here`);
      if (movingTo === undefined) await (to === 'temporal' ? homes.leave(id) : homes.expect(id));
      void carry(id);
    },
    async revive(id) {
      const home = await homeOf(id);
      if (!homes || !lives || home.engine !== 'temporal' || home.isClosing) return false;
      await homes.revive(id, home.life);
      const now = await homeOf(id);
      if (isSameHome(home, now) && now.movingTo === undefined) return false;
      void carry(id);
      return true;
    },
    carry,
    async carryFor(id, limitMs) {
      const over = new AbortController();
      const limit = sleep(limitMs, undefined, { signal: over.signal }).catch(() => undefined);
      await Promise.race([carry(id), limit]);
      over.abort();
      return await homeOf(id);
    },
    async carryAll() {
      for (const id of (await homes?.moving(MOST_AT_ONCE)) ?? []) void carry(id);
    },
    stop: () => stopping.abort(new Error('the process stops')),
  };
}

interface MoveDeps extends MovesDeps {
  readonly homes: Homes;
  readonly lives: Lives;
}

/** Makes the function that takes a session to where it is going. */
function createMove(deps: MoveDeps, signal: AbortSignal): (id: string) => Promise<void> {
  const { homes, lives, readers, sessions } = deps;

  /** Its log is sealed: a workflow goes on with what the loop remembers. */
  async function arrive(id: string, home: Home): Promise<void> {
    const { title, loop } = await viewAt(await readers.synced(id), home.base);
    const [first] = await sessions.getEvents(id, { to: 1 });
    if (first?.event.type !== 'x.session_created') throw new SessionGoneError(`no session ${id}`);
    const tally = tallyOf(await readCarriers(homes, { sessionId: id, from: 0, to: home.base }));
    await lives.begin(id, home, { seed: { ...first.event, title }, state: loop, tally });
    await homes.arrived(id, home.life);
    const now = await homes.find(id);
    if (!now || now.isClosing) await lives.undo(id, home);
  }

  /** It has been asked to come: what it wrote on Temporal is put behind what it was before. */
  async function adopt(id: string, home: Home): Promise<void> {
    const written = await lives.end(id, home, signal).catch(async (error: unknown) => {
      // It was deleted before it was known that it is to come.
      if (error instanceof SessionGoneError && home.base === 0) await homes.forget(id);
      throw error;
    });
    const brought = await readCarriers(homes, { sessionId: id, from: 0, to: home.base });
    const after = { tally: tallyOf(brought), lastUs: home.lastUs };
    await homes.adopt(id, home.life, settle(written, after));
    const now = await homes.find(id);
    if (now && isSameHome(now, home) && now.movingTo === 'log')
      throw new Error(`what session ${id} wrote on Temporal does not follow its archive`);
  }

  /** Its life on Temporal is over: what it wrote goes into the archive, and another one begins with that. */
  async function revive(id: string, { life, base }: Home): Promise<void> {
    const isThere = await lives.seal(id, life);
    const now = await homes.find(id);
    if (!now?.isReviving || now.life !== life) return;
    if (!isThere && base === 0) {
      await homes.forget(id);
      throw new SessionGoneError(`nothing is left of session ${id}`);
    }
    await homes.reborn(id, life);
  }

  return async (id) => {
    for (;;) {
      signal.throwIfAborted();
      const home = await homes.find(id);
      if (home?.movingTo === undefined) return;
      if (home.isReviving) await revive(id, home);
      else if (home.movingTo === 'log') await adopt(id, home);
      else if (home.engine === 'temporal') await arrive(id, home);
      else {
        await homes.leave(id);
        if ((await homes.find(id))?.engine === 'log') await homes.next(id, LOOK_AGAIN_MS, signal);
      }
    }
  };
}

/** What the log says of the session up to a position. */
async function viewAt(reader: Reader, end: number): Promise<SessionView> {
  let view = foldView(undefined, []);
  for (let from = 0; from < end; from += PIECE)
    view = foldView(view, await reader.at(range(from, Math.min(from + PIECE, end))));
  return view;
}
