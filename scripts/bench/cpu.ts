/** CPU time of a server's processes: the one figure that holds on a noisy machine. Linux only. */
import { readFile } from 'node:fs/promises';
import type { Server } from '../server.ts';
import { round } from './measure.ts';

const ROLES = ['api', 'worker', 'proxy', 'model', 'temporal'] as const;
/** Kernel ticks are hundredths of a second on every Linux that Node runs on. */
const TICK_MS = 10;

export type CpuMs = Readonly<Record<string, number>>;

/** CPU milliseconds that each process has used so far. */
export async function cpuOf(server: Server): Promise<CpuMs> {
  const pairs = ROLES.map(async (role) => [role, await ticksOf(await server.pid(role))] as const);
  return Object.fromEntries(await Promise.all(pairs));
}

/** What was used in between, per unit of work. */
export function perUnit(before: CpuMs, after: CpuMs, units: number): Record<string, number> {
  const used = Object.entries(after).map(
    ([role, ms]) => [`CPU ms per turn, ${role}`, round((ms - (before[role] ?? 0)) / units)] as const,
  );
  return Object.fromEntries(used);
}

async function ticksOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The fields after the command's name, which may hold spaces itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * TICK_MS;
}
