/** A Docker daemon for tests and CI: the one that runs, or one started here where this machine allows it. */
import Dockerode from 'dockerode';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

const LOG_PATH = join(tmpdir(), 'drover-dockerd.log');
const PID_PATH = '/var/run/docker.pid';
const START_PATIENCE_MS = 40_000;
const POLL_MS = 100;
/** From what is best to what works in the barest container: no packet filter, no overlay file system. */
const SETTINGS = [
  [],
  ['--iptables=false', '--bridge=none'],
  ['--iptables=false', '--bridge=none', '--storage-driver=vfs'],
];

/** Sees to it that a daemon answers. Returns why there is none, or undefined when there is one. */
export async function ensureDockerd({ log }: { log: (line: string) => void }): Promise<string | undefined> {
  const docker = new Dockerode();
  if (await answers(docker)) return undefined;
  if (process.getuid?.() !== 0) return 'no Docker daemon answers, and only root can start one';
  const program = await findProgram('dockerd');
  if (program === undefined) return 'no Docker daemon answers, and dockerd is not installed';
  await removeStalePid();
  for (const settings of SETTINGS) {
    log(
      `dockerd: starting it ${settings.length === 0 ? 'as it is' : `with ${settings.join(' ')}`}, log in ${LOG_PATH}`,
    );
    if (await start(docker, program, settings)) return undefined;
  }
  const words = await readFile(LOG_PATH, 'utf8').catch(() => '');
  return `dockerd does not start here: ${words.trim().split('\n').at(-1) ?? ''}`;
}

/** A daemon that was killed leaves a pid behind, and dockerd refuses to start while a process has it, if only a zombie. */
async function removeStalePid(): Promise<void> {
  const pid = (await readFile(PID_PATH, 'utf8').catch(() => '')).trim();
  if (pid === '') return;
  const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  if (!state.includes('(dockerd)') || state.includes(') Z ')) await rm(PID_PATH, { force: true });
}

/** Detached: it serves later runs too. */
async function start(docker: Dockerode, program: string, settings: readonly string[]): Promise<boolean> {
  const output = await open(LOG_PATH, 'w');
  const child = spawn(program, settings, { detached: true, stdio: ['ignore', output.fd, output.fd] });
  child.unref();
  await output.close();
  const stopAsking = new AbortController();
  const ended = Promise.race([once(child, 'exit'), once(child, 'error')]).then(() => false);
  const up = await Promise.race([ended, becomesReady(docker, stopAsking.signal)]);
  stopAsking.abort();
  if (!up && child.exitCode === null) child.kill('SIGTERM');
  if (!up) await ended;
  return up;
}

async function becomesReady(docker: Dockerode, stop: AbortSignal): Promise<boolean> {
  const deadlineMs = performance.now() + START_PATIENCE_MS;
  while (performance.now() < deadlineMs && !stop.aborted) {
    if (await answers(docker)) return true;
    await sleep(POLL_MS);
  }
  return false;
}

async function answers(docker: Dockerode): Promise<boolean> {
  return docker.ping().then(
    () => true,
    () => false,
  );
}

async function findProgram(name: string): Promise<string | undefined> {
  for (const folder of ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin']) {
    const path = join(folder, name);
    const found = await access(path).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

if (import.meta.main) {
  const problem = await ensureDockerd({ log: (line) => void process.stderr.write(`${line}\n`) });
  process.stderr.write(`dockerd: ${problem ?? 'a daemon answers'}\n`);
  process.exitCode = problem === undefined ? 0 : 1;
}
