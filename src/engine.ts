/**
 * Port: an engine, which keeps the logs of sessions and sees to it that they are worked on. There are two schools of
 * it: a workflow engine whose histories are the logs, and a log in a database with harnesses that lease sessions. A
 * process opens those that it can reach; a session lives on one of them, and can move.
 */
import type { Blobs } from './blobs.ts';
import { ConfigError, type RoleConfig } from './config.ts';
import { ifInstalled, NOT_INSTALLED } from './installed.ts';
import { withKillPoints, type KillPoint } from './kill-point.ts';
import type { Logger } from './log-line.ts';
import type { Notices } from './notices.ts';
import type { Operations } from './operations.ts';
import { SessionGoneError, SessionStoppedError, type Sessions } from './session.ts';
import type { Backend } from './session/backend.ts';
import { BORN_ON_TEMPORAL, type EngineName, type Home, type Homes } from './session/home.ts';
import { createMoves, MoveRefusedError, type Lives, type Moves } from './session/moves.ts';
import type { ReadBack } from './session/kept-log.ts';
import { createReaders, type Readers } from './session/readers.ts';
import { createRoutedBackend } from './session/routed-backend.ts';
import { createSessions } from './session/sessions.ts';
import { verifySession, type Verification } from './session/verify.ts';

/** The engines of a process, as one. */
export interface Engine {
  readonly sessions: Sessions;
  readonly moves: Moves;
  /**
   * Checks what of a session is in the database.
   *
   * @throws {SessionGoneError}
   */
  verify(id: string): Promise<Verification>;
  /** Throws when what keeps the logs cannot be reached. */
  check(): Promise<void>;
  /** Begins to work on sessions in this process. Once a process. */
  work(operations: Operations, log: Logger): Promise<{ stop(): Promise<void> }>;
  close(): Promise<void>;
}

/** What the engines are opened with. */
export interface EngineDeps {
  readonly config: Pick<RoleConfig, 'engine' | 'dataDir' | 'database' | 'temporal'>;
  readonly blobs: Blobs;
  readonly notices: Notices;
  readonly log?: Logger;
  /** Where this process may be told to die; left out: nowhere. */
  readonly killPoint?: KillPoint | undefined;
}

/** One engine, opened by a process. */
export interface EnginePart {
  /** What it does for the logs of sessions that live so. */
  backendAt(home: Home): Backend;
  check(): Promise<void>;
  work(workshop: Workshop): Promise<{ stop(): Promise<void> }>;
  close(): Promise<void>;
}

/** What an engine works with. */
export interface Workshop {
  readonly operations: Operations;
  readonly sessions: Sessions;
  readonly readers: Readers;
  readonly log: Logger;
}

/** The engine whose logs are histories. */
export interface TemporalPart extends EnginePart {
  readonly lives: Lives;
}

/** The engine whose logs are in a database, with the register of where sessions live. */
export interface LogPart extends EnginePart {
  readonly homes: Homes;
}

/** The engines that there are here, and why others are not. */
export interface Parts {
  readonly log: LogPart | undefined;
  readonly temporal: TemporalPart | undefined;
  readonly missing: Readonly<Partial<Record<EngineName, string>>>;
}

/** How dying shows in what becomes of a session's home. */
const STEPS = {
  seal: 'seal',
  bear: 'bear',
  revive: 'revive',
  reborn: 'revive',
  leave: 'move',
  arrived: 'move',
  expect: 'move',
  adopt: 'move',
} as const;
/** A session that another one's log was given to. If that takes longer it is carried on all the same. */
const BORN_WITHIN_MS = 20_000;
const NO_TEMPORAL = 'this server has no Temporal: TEMPORAL_ADDRESS is not set';

/** Opens the engines that can be reached. Only their own code is loaded: a server may be built without one of them. */
export async function openEngine(deps: EngineDeps): Promise<Engine> {
  return joinParts(await openParts(deps), deps);
}

/** What engines are joined with. */
type JoinDeps = Pick<EngineDeps, 'blobs' | 'log' | 'killPoint'> & {
  readonly config: Pick<RoleConfig, 'engine'>;
};

/** Makes one of the engines that there are. */
export function joinParts(parts: Parts, { config, blobs, log, killPoint }: JoinDeps): Engine {
  const homeOf = createHomeOf(parts);
  const routed = createRoutedBackend({
    homeOf,
    backendAt: (home) => partOf(parts, home.engine).backendAt(home),
    birthplace: config.engine,
    remove: createRemove(parts),
    onCut: (id) => readers.forget(id),
    isRevivable: parts.log !== undefined && parts.temporal !== undefined,
    revive: (id) => moves.revive(id),
    awaited: (id) => void moves.carry(id),
  });
  const backend = withKillPoints(killPoint, routed, { start: 'start', emit: 'emit' });
  const readers = createReaders((id) => backend.cursor(id), createArchiveOf(parts, homeOf));
  const sessions = createSessions({
    backend,
    readers,
    blobs,
    async begin(id, carriers, isAwake) {
      if (!parts.log) throw new MoveRefusedError(parts.missing.log ?? 'there is no archive here');
      await parts.log.homes.bear(id, { engine: config.engine, isAwake }, carriers);
      await moves.carryFor(id, BORN_WITHIN_MS);
    },
  });
  const moves = createMoves({
    homeOf,
    homes: parts.log?.homes,
    lives: parts.temporal?.lives,
    missing: parts.missing,
    sessions,
    readers,
    onFailure: (id, error) =>
      log?.warn('a session could not be moved; it will be tried again', { id, error: String(error) }),
  });
  const lengthOf = async (id: string): Promise<number> => (await sessions.getSession(id)).length;
  const opened = [parts.log, parts.temporal].filter((part) => part !== undefined);
  return {
    sessions,
    moves,
    verify: (id) => verifySession({ homes: parts.log?.homes, lives: parts.temporal?.lives, lengthOf }, id),
    async check() {
      await Promise.all(opened.map((part) => part.check()));
    },
    async work(operations, log) {
      const works = await Promise.all(
        opened.map((part) => part.work({ operations, sessions, readers, log })),
      );
      return { stop: async () => void (await Promise.all(works.map((work) => work.stop()))) };
    },
    async close() {
      moves.stop();
      for (const part of opened.toReversed()) await part.close();
    },
  };
}

async function openParts(deps: EngineDeps): Promise<Parts> {
  const { engine, temporal: place } = deps.config;
  const opened = await (await ifInstalled(import('./engine/log.ts')))?.openLogEngine(deps);
  const log = opened && { ...opened, homes: withKillPoints(deps.killPoint, opened.homes, STEPS) };
  try {
    const code = place.address === undefined ? undefined : await ifInstalled(import('./engine/temporal.ts'));
    const temporal = await code?.openTemporalEngine({ ...deps, homes: log?.homes });
    const missing = {
      ...(log ? {} : { log: NOT_INSTALLED }),
      ...(temporal ? {} : { temporal: place.address === undefined ? NO_TEMPORAL : NOT_INSTALLED }),
    };
    const why = missing[engine];
    if (why !== undefined) throw new ConfigError(`DROVER_ENGINE: ${engine}: ${why}`);
    return { log, temporal, missing };
  } catch (error) {
    await log?.close();
    throw error;
  }
}

function partOf({ log, temporal, missing }: Parts, engine: EngineName): EnginePart {
  const part = engine === 'log' ? log : temporal;
  if (!part)
    throw new SessionStoppedError(`this session lives on the ${engine} engine; ${missing[engine] ?? ''}`);
  return part;
}

function createHomeOf({ log, temporal }: Parts): (id: string) => Promise<Home> {
  return async (id) => {
    const home = await log?.homes.find(id);
    if (home) return home;
    if (!temporal) throw new SessionGoneError(`no session ${id}`);
    return BORN_ON_TEMPORAL;
  };
}

/** What has been written down for good need not be kept by those who have read it. */
function createArchiveOf(
  { log }: Parts,
  homeOf: (id: string) => Promise<Home>,
): (id: string) => ReadBack | undefined {
  return (id) =>
    log && {
      extent: async () => (await homeOf(id)).base,
      carriersAt: (positions) => log.homes.readAt(id, positions),
    };
}

/** Erases a session wherever there is something of it; what has moved before has left its histories behind. */
function createRemove({ log, temporal }: Parts): Backend['remove'] {
  return async (id) => {
    const home = await log?.homes.find(id);
    if (home) await log?.homes.close(id);
    const last = home ?? BORN_ON_TEMPORAL;
    if (last.life > 0) await temporal?.backendAt(last).remove(id);
    if (home) await log?.backendAt(home).remove(id);
    // Its first run may have come into the archive since.
    else await log?.homes.forget(id);
  };
}
