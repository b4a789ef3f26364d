/** CPU time and memory of a server's processes: what holds best on a noisy machine. Linux only. */
import { readdir, readFile } from 'node:fs/promises';
import type { Server } from '../server.ts';
import { round } from './measure.ts';

const ROLES = ['api', 'worker', 'proxy', 'model', 'temporal'] as const;
/** Kernel ticks are hundredths of a second on every Linux that Node runs on. */
const TICK_MS = 10;

/** A number for each role. */
export type ByRole = Readonly<Record<string, number>>;

/** CPU milliseconds that each process has used so far. */
export function cpuOf(server: Server): Promise<ByRole> {
  return byRole(server, cpuMsOf);
}

/** Memory that each process holds now (RSS), in MiB. */
export function memoryOf(server: Server): Promise<ByRole> {
  return byRole(server, residentMiBOf);
}

/** What was used in between, per unit of work. */
export function perUnit(before: ByRole, after: ByRole, units: number): ByRole {
  return labelled('CPU ms per turn', before, after, units);
}

/** CPU seconds that were used in between. */
export function cpuSeconds(when: string, before: ByRole, after: ByRole): ByRole {
  return labelled(`CPU s ${when}`, before, after, 1000);
}

/** Memory by role, for the result. */
export function labelledMemory(when: string, memory: ByRole): ByRole {
  return Object.fromEntries(Object.entries(memory).map(([role, mib]) => [`MiB ${when}, ${role}`, mib]));
}

/** Pids of processes whose command line this is true of, in whatever namespace they run. */
export async function pidsWhere(isIt: (args: readonly string[]) => boolean): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  return pids.filter((_, at) => isIt((lines[at] ?? '').split('\0'))).map(Number);
}

/** Whether a process is there and has not ended. */
export async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') X');
  return !/\) [ZX]/.test(stat);
}

function labelled(what: string, before: ByRole, after: ByRole, divisor: number): ByRole {
  const used = Object.entries(after).map(
    ([role, ms]) => [`${what}, ${role}`, round((ms - (before[role] ?? 0)) / divisor)] as const,
  );
  return Object.fromEntries(used);
}

async function byRole(server: Server, read: (pid: number) => Promise<number>): Promise<ByRole> {
  const pairs = ROLES.map(async (role) => {
    const pid = await server.pid(role).catch(() => undefined);
    return pid === undefined ? [] : [[role, await read(pid)] as const];
  });
  return Object.fromEntries((await Promise.all(pairs)).flat());
}

async function cpuMsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The fields after the command's name, which may hold spaces itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * TICK_MS;
}

async function residentMiBOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Math.round(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024);
}
