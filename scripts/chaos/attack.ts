/**
 * Kills and stops processes at random, or has them die at named points, and measures how long each takes to be felt no
 * more.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { KillPointName } from '../../src/kill-point.ts';
import { isAlive } from '../bench/processes.ts';
import type { Part } from '../compare/subject.ts';
import { arm, disarm, takeDead } from './arm.ts';
import type { Conversation } from './client.ts';

/** What is done to a process. */
export type Blow = 'killed' | 'stopped';

/** One attack. */
export interface Attack {
  /** Which kind of process: `worker-2` is a `worker`; or at which point one died: `at before emit`. */
  readonly kind: string;
  readonly blow: Blow;
  /** Until each of the sessions that were at work had its next event. */
  readonly waitsMs: readonly number[];
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
  /** The file that names the point where a process is to die. */
  readonly pointFile: string;
  /** Those that are passed in these conversations. */
  readonly points: readonly KillPointName[];
}

/** How much is done. */
export interface AttackOptions {
  readonly kills: number;
  readonly meanGapMs: number;
  /** Whether each is felt no more before the next one comes, and none falls on a point. */
  readonly isOneByOne: boolean;
  readonly random: () => number;
  readonly log: (line: string) => void;
}

/** Of all attacks, how many are at a point. */
const POINT_SHARE = 0.3;
const PASSED_WITHIN_MS = 8000;
const LOOK_AGAIN_MS = 10;
const STOPPED_SHARE = 0.2;
const LONGEST_STOP_MS = 6000;
const RECOVERED_WITHIN_MS = 30_000;

/** Attacks so often; answers what became of each. */
export async function attack(
  target: Target,
  { kills, meanGapMs, isOneByOne, random, log }: AttackOptions,
): Promise<Attack[]> {
  const attacks: Promise<Attack>[] = [];
  while (attacks.length < kills) {
    await pause(2 * random() * meanGapMs);
    const isAtPoint = !isOneByOne && random() < POINT_SHARE;
    const hit = isAtPoint ? await hitAtPoint(target, random) : await hitPart(target, random);
    if (!hit) continue;
    const { kind, blow, atWork, atMs } = hit;
    const felt = feel(atWork, atMs).then((waitsMs) => ({ kind, blow, waitsMs, atWork: atWork.length }));
    attacks.push(felt);
    if (isOneByOne) await felt;
    if (attacks.length % 50 === 0) log(`${attacks.length} kills`);
  }
  return await Promise.all(attacks);
}

interface Hit {
  readonly kind: string;
  readonly blow: Blow;
  readonly atWork: readonly Conversation[];
  readonly atMs: number;
}

/** Undefined: there was nobody to hit. */
async function hitPart(target: Target, random: () => number): Promise<Hit | undefined> {
  const parts = await target.parts();
  const up = await Promise.all(parts.map((part) => part.isUp()));
  const alive = parts.filter((_, at) => up[at]);
  const part = alive[Math.floor(random() * alive.length)];
  if (!part) return undefined;
  const blow: Blow = random() < STOPPED_SHARE ? 'stopped' : 'killed';
  const stopMs = random() * LONGEST_STOP_MS;
  const atWork = target.conversations.filter(({ isAtWork }) => isAtWork);
  const atMs = performance.now();
  // It may have died by itself in between.
  const isHit = await strike(target, part, blow, stopMs).catch(() => false);
  return isHit ? { kind: part.name.replace(/-\d+$/, ''), blow, atWork, atMs } : undefined;
}

/** Undefined: nobody came by in good time. */
async function hitAtPoint(target: Target, random: () => number): Promise<Hit | undefined> {
  const { pointFile: file, points, conversations } = target;
  const point = points[Math.floor(random() * points.length)];
  if (point === undefined) return undefined;
  await arm(file, point);
  const dead = await untilDead(file);
  await disarm(file);
  const pid = dead ?? (await takeDead(file));
  if (pid === undefined) return undefined;
  const atMs = performance.now();
  const atWork = conversations.filter(({ isAtWork }) => isAtWork);
  return { kind: `at ${point}`, blow: 'killed', atWork, atMs };
}

async function untilDead(file: string): Promise<number | undefined> {
  for (const deadline = performance.now() + PASSED_WITHIN_MS; performance.now() < deadline;) {
    const pid = await takeDead(file);
    if (pid !== undefined) return pid;
    await pause(LOOK_AGAIN_MS);
  }
  return undefined;
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

async function feel(atWork: readonly Conversation[], atMs: number): Promise<number[]> {
  const next = await Promise.all(
    atWork.map(({ following }) =>
      following.until(() => true, { from: following.seen.length, withinMs: RECOVERED_WITHIN_MS }),
    ),
  );
  return next.flatMap((found) => (found ? [found.atMs - atMs] : []));
}
