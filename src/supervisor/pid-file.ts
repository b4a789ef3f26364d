/** Pid files, and what is left over from a supervisor that was killed. */
import { execFile } from 'node:child_process';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const POLL_MS = 25;
const KILL_WAIT_MS = 5000;

/** Writes `<runDir>/<name>.pid`, never half of it. */
export async function writePid(runDir: string, name: string, pid: number): Promise<void> {
  const file = pidFile(runDir, name);
  await writeFile(`${file}.new`, `${pid}\n`);
  await rename(`${file}.new`, file);
}

/** Forgets the pid. One that is not there is fine. */
export async function removePid(runDir: string, name: string): Promise<void> {
  await rm(pidFile(runDir, name), { force: true });
}

/** The pid in `<runDir>/<name>.pid`, dead or alive; undefined without one. */
export async function readPid(runDir: string, name: string): Promise<number | undefined> {
  const text = await readFile(pidFile(runDir, name), 'utf8').catch(() => '');
  const pid = Number(text.trim());
  return Number.isInteger(pid) && pid > 1 ? pid : undefined;
}

/**
 * Stops what the pid files of `runDir` name and still runs, roles before Temporal so that they can drain.
 *
 * @returns the names of what was stopped
 */
export async function stopLeftovers(
  runDir: string,
  marks: readonly string[],
  graceMs: number,
): Promise<string[]> {
  const files = await readdir(runDir).catch(() => []);
  const names = files.filter((file) => file.endsWith('.pid')).map((file) => file.slice(0, -'.pid'.length));
  const roles = names.filter((name) => name !== 'temporal' && name !== 'supervisor');
  const stop = async (name: string) => ((await stopLeftover(runDir, name, marks, graceMs)) ? [name] : []);
  const stopped = (await Promise.all(roles.map(stop))).flat();
  return names.includes('temporal') ? [...stopped, ...(await stop('temporal'))] : stopped;
}

/**
 * Stops the process that `<runDir>/<name>.pid` names, if it is still that one. The system uses pids again: only a
 * process whose command line contains one of `marks` is ours and is touched.
 *
 * @returns whether there was one
 */
export async function stopLeftover(
  runDir: string,
  name: string,
  marks: readonly string[],
  graceMs: number,
): Promise<boolean> {
  const pid = await readPid(runDir, name);
  const found = pid !== undefined && pid !== process.pid && (await isOurs(pid, marks));
  if (found) await stopProcess(pid, marks, graceMs);
  await removePid(runDir, name);
  return found;
}

/** Whether a process runs under this pid and its command line contains one of `marks` as whole words. */
export async function isOurs(pid: number, marks: readonly string[]): Promise<boolean> {
  const command = await commandLine(pid);
  return command !== undefined && marks.some((mark) => ` ${command} `.includes(` ${mark} `));
}

async function stopProcess(pid: number, marks: readonly string[], graceMs: number): Promise<void> {
  signal(pid, 'SIGTERM');
  if (await goneWithin(pid, marks, graceMs)) return;
  signal(pid, 'SIGKILL');
  if (!(await goneWithin(pid, marks, KILL_WAIT_MS)))
    throw new Error(`process ${pid} of an earlier start cannot be killed`);
}

async function goneWithin(pid: number, marks: readonly string[], ms: number): Promise<boolean> {
  const deadline = Date.now() + ms;
  while (!(await isGone(pid, marks))) {
    if (Date.now() >= deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}

/** Whether nothing of the process is left that could hold a port or a file. Its command line goes before those do. */
async function isGone(pid: number, marks: readonly string[]): Promise<boolean> {
  if (!exists(pid)) return true;
  if (process.platform === 'linux') {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
    // Where nobody collects it, a dead process stays as a zombie.
    if (stat === undefined || (/\) [ZX]/.test(stat) && threads.length <= 1)) return true;
  }
  return (await commandLine(pid)) !== undefined && !(await isOurs(pid, marks));
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** Undefined when there is no such process, or a dying one. */
async function commandLine(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const raw = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    return raw === '' ? undefined : raw.replaceAll('\0', ' ').trim();
  }
  const found = await promisify(execFile)('ps', ['-ww', '-o', 'command=', '-p', String(pid)]).catch(
    () => undefined,
  );
  return found?.stdout.trim() || undefined;
}

function pidFile(runDir: string, name: string): string {
  return join(runDir, `${name}.pid`);
}
