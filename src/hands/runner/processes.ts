/**
 * The processes of the hand, as /proc tells them. Killing a shell's process group is not enough to end a command:
 * `timeout`, `setsid` and shells with job control put their children into groups of their own.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { kill, pid as ownPid } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

/** The processes that were there at some moment, told apart from later ones with the same pid. */
export type Noted = ReadonlySet<string>;

interface Process {
  readonly key: string;
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  readonly state: string;
}

/** How often to look again for children that were born while their siblings were killed, and the pause between. */
const SWEEPS = 50;
const SWEEP_PAUSE_MS = 10;

/** Notes which processes there are. */
export function noteProcesses(): Noted {
  return new Set(listProcesses().map((process) => process.key));
}

/**
 * Kills every process that has come since they were noted, until none is left. With `alone` that is truly every one:
 * right only where this process and its children are all that its /proc shows. Without it, our descendants.
 */
export async function killSince(before: Noted, alone: boolean): Promise<void> {
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const all = listProcesses();
    const ours = alone ? all : descendantsOf(ownPid, all);
    const born = ours.filter((process) => !before.has(process.key) && isOfCommand(process));
    if (born.length === 0) return;
    for (const { pid } of born) killQuietly(pid);
    await sleep(SWEEP_PAUSE_MS);
  }
}

/** Not ours to kill: this process, a search that another call runs, and what was put in from outside (its parent is 0). */
function isOfCommand({ pid, parent, name, state }: Process): boolean {
  return state !== 'Z' && pid !== ownPid && parent !== 0 && !(parent === ownPid && name === 'rg');
}

function descendantsOf(root: number, all: readonly Process[]): Process[] {
  const children = all.filter((process) => process.parent === root);
  return children.flatMap((child) => [child, ...descendantsOf(child.pid, all)]);
}

function killQuietly(pid: number): void {
  try {
    kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function listProcesses(): Process[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcess(Number(name)) ?? []);
}

function readProcess(pid: number): Process | undefined {
  let line: string;
  try {
    line = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The name stands in brackets and may itself hold brackets and blanks.
  const end = line.lastIndexOf(')');
  const fields = line.slice(end + 2).split(' ');
  const startedAt = fields[19];
  const name = line.slice(line.indexOf('(') + 1, end);
  return { key: `${pid}@${startedAt}`, pid, parent: Number(fields[1]), name, state: fields[0] ?? '' };
}
