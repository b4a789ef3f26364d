/** One sandbox: its folder on the host, its processes, and the way to its runner. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { appendFile, chmod, chown, mkdir, open, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { kill } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ENDED_ON_REQUEST, SOCKET_NAME } from '../runner/places.ts';
import { SANDBOX_UID, toBwrapArgs, type SandboxOptions } from './command.ts';
import { HOST_PATH, type Host } from './host.ts';

/** `flock` ends with this code when another process holds the lock. */
const LOCK_IS_HELD = 75;
/** Linux's O_PATH, which Node does not name. */
const O_PATH = 0o10000000;
/** The file that says of which lives the end was a suspension. */
const SUSPENDED = 'suspended';
const START_PATIENCE_MS = 30_000;
const DEATH_PATIENCE_MS = 5_000;
const POLL_MS = 10;

/** What has become of a sandbox. */
export type Condition =
  /** `life` counts how often it was started. */
  | { readonly kind: 'running'; readonly pid: number; readonly life: number }
  /** Its processes were stopped on purpose, to be started again when they are needed. */
  | { readonly kind: 'suspended' }
  /** `code` is unknown where everything was killed at once, or the machine went down. */
  | { readonly kind: 'ended'; readonly code: number | undefined }
  /** No folder: it was released, or never was. */
  | { readonly kind: 'absent' };

/** Makes the folder of a sandbox, with all that is mounted into it. */
export async function makeFolder(
  folder: string,
  key: string,
  owner: { readonly host: Host; readonly uid: number },
): Promise<void> {
  const { host, uid } = owner;
  await mkdir(join(folder, 'etc'), { recursive: true, mode: 0o700 });
  const id = host.isRoot ? uid : SANDBOX_UID;
  const files = {
    'etc/passwd': `root:x:0:0:root:/:/bin/false\nagent:x:${id}:${id}:agent:/workspace:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n`,
    'etc/group': `root:x:0:\nagent:x:${id}:\nnogroup:x:65534:\n`,
    'etc/hosts': '127.0.0.1 localhost sandbox\n::1 localhost\n',
    key,
  };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), text);
    await chmod(join(folder, name), 0o644);
  }
  for (const name of ['workspace', 'session', 'state']) {
    await mkdir(join(folder, name), { mode: 0o700 });
    if (host.isRoot) await chown(join(folder, name), uid, uid);
  }
}

/**
 * Starts a sandbox that outlives this process, unless one runs under the same lock: the lock is held for as long as
 * the sandbox lives. Resolves with false then; with true when the runner can be reached.
 */
export async function start(
  host: Host,
  lock: string,
  options: Omit<SandboxOptions, 'statusFd'>,
): Promise<boolean> {
  const { folder } = options;
  const log = await open(join(folder, 'log'), 'a', 0o600);
  const status = await open(join(folder, 'status'), 'a', 0o600);
  const bwrap = ['bwrap', ...toBwrapArgs(host, { ...options, statusFd: 3 })];
  const child = spawn(
    'flock',
    ['--nonblock', '--conflict-exit-code', String(LOCK_IS_HELD), '--close', lock, ...bwrap],
    {
      detached: true,
      env: { PATH: HOST_PATH },
      stdio: ['ignore', log.fd, log.fd, status.fd],
    },
  );
  const ended = Promise.race([once(child, 'exit'), once(child, 'error')]).then(([code]: unknown[]) => ({
    code,
  }));
  const stopAsking = new AbortController();
  try {
    const end = await Promise.race([ended, answers(folder, stopAsking.signal)]);
    if (end === true) return true;
    if (end !== false && end.code === LOCK_IS_HELD) return false;
    // It did start, and before we saw that, it was suspended again: another life may run by now.
    if (end !== false && end.code === ENDED_ON_REQUEST) return true;
    await killAll(folder, options.mark);
    const reason = end !== false && end.code instanceof Error ? end.code.message : await readLog(folder);
    throw new Error(`the sandbox could not be started: ${reason}`);
  } finally {
    stopAsking.abort();
    child.unref();
    await Promise.all([log.close(), status.close()]);
  }
}

/** Waits until somebody listens on the runner's socket; false when that takes too long. */
async function answers(folder: string, stop: AbortSignal): Promise<boolean> {
  const deadlineMs = performance.now() + START_PATIENCE_MS;
  while (performance.now() < deadlineMs && !stop.aborted) {
    const socket = await openSocket(folder).catch(() => undefined);
    socket?.destroy();
    if (socket !== undefined) return true;
    await sleep(POLL_MS);
  }
  return false;
}

/** Connects to the runner. What is in the sandbox may have put anything in the socket's place: nothing is followed. */
export async function openSocket(folder: string): Promise<Socket> {
  // Also keeps a deep data folder from exceeding the 108 bytes that a socket's path may have.
  const file = await open(join(folder, 'state', SOCKET_NAME), O_PATH | constants.O_NOFOLLOW);
  try {
    if (!(await file.stat()).isSocket())
      throw new Error('what should be the socket of the runner is something else');
    const socket = connect(`/proc/self/fd/${file.fd}`);
    // Whoever is given the socket listens a moment too late for a runner that ends just now.
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  } finally {
    await file.close();
  }
}

/** Finds out whether a sandbox runs. */
export async function inspect(folder: string, mark: string): Promise<Condition> {
  const status = await readFile(join(folder, 'status'), 'utf8').catch(() => undefined);
  if (status === undefined) return { kind: 'absent' };
  const lives = status.split('"child-pid"');
  const [life, latest] = [lives.length - 1, lives.at(-1) ?? ''];
  const code = /"exit-code": *(\d+)/.exec(latest)?.[1];
  const pid = Number(/^: *(\d+)/.exec(latest)?.[1] ?? Number.NaN);
  if (code === undefined && (await isMarked(pid, mark))) return { kind: 'running', pid, life };
  const suspended = await readFile(join(folder, SUSPENDED), 'utf8').catch(() => '');
  if (suspended.split(/\s+/).includes(String(life))) return { kind: 'suspended' };
  return { kind: 'ended', code: code === undefined ? undefined : Number(code) };
}

/**
 * Notes that the present life of a sandbox is about to be ended on purpose, and answers which one it is; undefined
 * when none runs. The note names that life, so it is never taken back: whoever looked before the sandbox was started
 * again still finds it. Should the end not follow, because whoever was about to bring it died, then a later death of
 * the same life counts as a suspension too: nothing is lost by that but a clearer message.
 */
export async function noteSuspension(folder: string, mark: string): Promise<number | undefined> {
  const condition = await inspect(folder, mark);
  if (condition.kind !== 'running') return undefined;
  try {
    await appendFile(join(folder, SUSPENDED), `\n${condition.life}\n`, { mode: 0o600, flush: true });
  } catch (error) {
    // It is being released.
    if ((await inspect(folder, mark)).kind === 'absent') return undefined;
    throw error;
  }
  return condition.life;
}

/** Whether no process of a life is left, nor of what started it. */
export async function isOver(folder: string, mark: string, life: number): Promise<boolean> {
  const condition = await inspect(folder, mark);
  if (condition.kind === 'running') return condition.life !== life;
  return (await findMarked(new Set([mark]))).length === 0;
}

/**
 * Ends everything that runs under these marks, also what is only just starting, and waits until the locks are free.
 * Rejects when the signal aborts before that.
 */
export async function endAll(marks: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
  for (;;) {
    const left = await findMarked(marks);
    if (left.length === 0) return;
    signal.throwIfAborted();
    // The holders of the locks go by themselves, after what they guard.
    for (const { pid, program } of left) if (program !== 'flock') killQuietly(pid);
    await sleep(POLL_MS);
  }
}

/** Kills all processes of a sandbox and waits until they are gone. With `only`, not those of another life. */
export async function killAll(folder: string, mark: string, only?: number): Promise<void> {
  const condition = await inspect(folder, mark);
  if (condition.kind !== 'running' || condition.life !== (only ?? condition.life)) return;
  // Process 1 of its namespace: the kernel takes all the others with it.
  killQuietly(condition.pid);
  const deadlineMs = performance.now() + DEATH_PATIENCE_MS;
  while (await isMarked(condition.pid, mark)) {
    if (performance.now() > deadlineMs)
      throw new Error(`process ${condition.pid} of a sandbox cannot be killed`);
    await sleep(POLL_MS);
  }
}

/** Removes the folder of a dead sandbox, whatever was made of its permissions. */
export async function removeFolder(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true });
  } catch {
    await promisify(execFile)('chmod', ['-R', 'u+rwX', folder]).catch(() => undefined);
    // Again and again where another process is still filling it.
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
  }
}

/** The last words of a sandbox. */
export async function readLog(folder: string): Promise<string> {
  const text = await readFile(join(folder, 'log'), 'utf8').catch(() => '');
  return text.trim().slice(-2_000) || 'it left no message';
}

async function isMarked(pid: number, mark: string): Promise<boolean> {
  return (await readCommandLine(pid)).includes(mark);
}

async function findMarked(
  marks: ReadonlySet<string>,
): Promise<{ readonly pid: number; readonly program: string | undefined }[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const all = pids.map(async (pid) => ({ pid, words: await readCommandLine(pid) }));
  return (await Promise.all(all))
    .filter(({ words }) => words.some((word) => marks.has(word)))
    .map(({ pid, words: [program] }) => ({ pid, program }));
}

/** Empty for a process that is gone, also for a zombie. */
async function readCommandLine(pid: number): Promise<string[]> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
}

function killQuietly(pid: number): void {
  try {
    kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
