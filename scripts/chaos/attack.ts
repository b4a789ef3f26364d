/** Kills and stops processes at random, and measures how long each takes to be felt no more. */
import { setTimeout as pause } from 'node:timers/promises';
import { isAlive } from '../bench/processes.ts';
import type { Part } from '../compare/subject.ts';
import type { Conversation } from './client.ts';

/** What is done to a process. */
export type Blow = 'killed' | 'stopped';

/** One attack. */
export interface Attack {
  /** Which kind of process: `worker-2` is a `worker`. */
  readonly kind: string;
  readonly blow: Blow;
  /** Until the slowest of the sessions that were at work had its next event; undefined: none was, or none came. */
  readonly recoveredMs: number | undefined;
  /** Sessions that were at work. */
  readonly atWork: number;
}

/** What is attacked. */
export interface Target {
  /** Processes that are there now, the sandboxes' too. */
  parts(): Promise<readonly Part[]>;
  /** The process that a part is, to be stopped; undefined: it cannot be. */
  pidOf(part: Part): Promise<number | undefined>;
  readonly conversations: readonly Conversation[];
}

/** How much is done. */
export interface AttackOptions {
  readonly kills: number;
  readonly meanGapMs: number;
  readonly random: () => number;
  readonly log: (line: string) => void;
}

const STOPPED_SHARE = 0.2;
const LONGEST_STOP_MS = 6000;
const RECOVERED_WITHIN_MS = 30_000;

/** Attacks so often; answers what became of each. */
export async function attack(
  target: Target,
  { kills, meanGapMs, random, log }: AttackOptions,
): Promise<Attack[]> {
  const attacks: Promise<Attack>[] = [];
  while (attacks.length < kills) {
    await pause(2 * random() * meanGapMs);
    const parts = await target.parts();
    const up = await Promise.all(parts.map((part) => part.isUp()));
    const alive = parts.filter((_, at) => up[at]);
    const part = alive[Math.floor(random() * alive.length)];
    if (!part) continue;
    const blow: Blow = random() < STOPPED_SHARE ? 'stopped' : 'killed';
    const stopMs = random() * LONGEST_STOP_MS;
    const atWork = target.conversations.filter(({ isAtWork }) => isAtWork);
    const atMs = performance.now();
    const isHit = await strike(target, part, blow, stopMs).catch(() => false);
    // It may have died by itself in between.
    if (!isHit) continue;
    const kind = part.name.replace(/-\d+$/, '');
    attacks.push(
      recovery(atWork, atMs).then((recoveredMs) => ({ kind, blow, recoveredMs, atWork: atWork.length })),
    );
    if (attacks.length % 50 === 0) log(`${attacks.length} kills`);
  }
  return await Promise.all(attacks);
}

async function strike(target: Target, part: Part, blow: Blow, stopMs: number): Promise<boolean> {
  const pid = blow === 'stopped' ? await target.pidOf(part) : undefined;
  if (pid === undefined) {
    await part.kill();
    return true;
  }
  process.kill(pid, 'SIGSTOP');
  setTimeout(() => void goOn(pid), stopMs);
  return true;
}

async function goOn(pid: number): Promise<void> {
  if (await isAlive(pid)) process.kill(pid, 'SIGCONT');
}

async function recovery(atWork: readonly Conversation[], atMs: number): Promise<number | undefined> {
  const times = await Promise.all(
    atWork.map(async ({ following }) => {
      const next = await following.until(() => true, {
        from: following.seen.length,
        withinMs: RECOVERED_WITHIN_MS,
      });
      return next && next.atMs - atMs;
    }),
  );
  const known = times.filter((time) => time !== undefined);
  return known.length > 0 ? Math.max(...known) : undefined;
}
