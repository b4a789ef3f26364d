/** CPU, memory and writes of groups of processes, from `/proc`. Linux only; of other users' processes only as root. */
import { readdir, readFile } from 'node:fs/promises';
import type { ByName } from './values.ts';

/** Processes that count as one. */
export interface ProcessGroup {
  readonly name: string;
  readonly pids: readonly number[];
}

/** Kernel ticks are hundredths of a second on every Linux that Node runs on. */
const TICK_MS = 10;

/** CPU milliseconds used so far. Children that ended are in it once they were waited for. */
export function cpuMsOf(groups: readonly ProcessGroup[]): Promise<ByName> {
  return eachGroup(groups, async (pid) => {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The fields after the command's name, which may hold spaces itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at] ?? 0) * TICK_MS, 0);
  });
}

/** Memory held now, in MiB; what processes share is shared out among them (PSS). */
export function memoryMiBOf(groups: readonly ProcessGroup[]): Promise<ByName> {
  return eachGroup(groups, async (pid) => {
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
    return Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0) / 1024;
  });
}

/** KiB that were sent to disk so far, those that were written twice twice. */
export function writtenKiBOf(groups: readonly ProcessGroup[]): Promise<ByName> {
  return eachGroup(groups, async (pid) => {
    const io = await readFile(`/proc/${pid}/io`, 'utf8');
    return Number(/^write_bytes: (\d+)$/m.exec(io)?.[1] ?? 0) / 1024;
  });
}

/** A process and all that descend from it. */
export async function treeOf(root: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const parents = new Map(await Promise.all(pids.map(async (pid) => [pid, await parentOf(pid)] as const)));
  const found = [root];
  // The list grows while it is walked.
  for (const pid of found) found.push(...pids.filter((one) => parents.get(one) === pid));
  return found;
}

async function parentOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return Number(/\) \S (\d+)/.exec(stat)?.[1] ?? 0);
}

async function eachGroup(
  groups: readonly ProcessGroup[],
  read: (pid: number) => Promise<number>,
): Promise<ByName> {
  const pairs = groups.map(async ({ name, pids }) => {
    // One that has ended meanwhile holds nothing.
    const values = await Promise.all(pids.map((pid) => read(pid).catch(() => 0)));
    return [name, values.reduce((sum, value) => sum + value, 0)] as const;
  });
  return Object.fromEntries(await Promise.all(pairs));
}
