/** Real supervisors in tests, each on a data dir of its own; their roles are fakes unless a test says otherwise. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach } from 'vitest';
import { eventually, isAlive, run, type Running } from './process.ts';
import { engineOfRun } from './server.ts';

/** What a test works with. */
export interface SupervisorBed {
  readonly dataDir: string;
  /** What the fake roles note. */
  readonly journal: string;
  start(env?: Record<string, string>, what?: [args: string[], program?: string]): Running;
  untilReady(running: Running): Promise<string>;
  stop(running: Running): Promise<number | string>;
  /** What the pid files say, by role. */
  pids(): Record<string, number>;
  /** The pid of a role after it was killed and came back. */
  killAndAwait(role: string): Promise<number>;
  /** `run/ports.json`. */
  ports(): string;
}

/** The script of the fake roles. */
export const FAKES = fileURLToPath(new URL('fake-start.ts', import.meta.url));

/** A first start may have to wait for a Temporal server. */
const READY_WITHIN_MS = 60_000;

/** Makes a data dir before each test, and leaves nothing running behind it. */
export function useSupervisors(): SupervisorBed {
  let dataDir: string;
  let started: Running[];
  let seen: Set<number>;

  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'drover-supervisor-'));
    started = [];
    seen = new Set();
  });

  afterEach(async () => {
    for (const one of started) one.child.kill('SIGKILL');
    await Promise.all(started.map((one) => one.ended));
    for (const pid of [...seen, ...Object.values(pids())]) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }, 30_000);

  function pids(): Record<string, number> {
    const folder = join(dataDir, 'run');
    if (!existsSync(folder)) return {};
    const files = readdirSync(folder).filter((file) => file.endsWith('.pid'));
    const found = Object.fromEntries(
      files.map((file) => [file.slice(0, -4), Number(readFileSync(join(folder, file), 'utf8'))]),
    );
    for (const pid of Object.values(found)) seen.add(pid);
    return found;
  }

  return {
    get dataDir() {
      return dataDir;
    },
    get journal() {
      return join(dataDir, 'journal');
    },
    start(env = {}, what = [[FAKES]]) {
      const [args, program] = what;
      const settings = {
        PORT: '0',
        DROVER_ENGINE: engineOfRun(),
        DROVER_DATA_DIR: dataDir,
        DROVER_FAKE_JOURNAL: join(dataDir, 'journal'),
        ANTHROPIC_BASE_URL: 'http://127.0.0.1:9',
        ...env,
      };
      const running = run(args, settings, program);
      started.push(running);
      return running;
    },
    async untilReady(running) {
      const early = running.ended.then((how) => {
        throw new Error(`ended early (${how}): ${running.stderr()}`);
      });
      const url = eventually(
        'the ready line',
        () => /^drover ready: (\S+)\n/m.exec(running.stdout())?.[1],
        READY_WITHIN_MS,
      );
      const found = await Promise.race([url, early]);
      pids();
      return found;
    },
    async stop(running) {
      running.child.kill('SIGTERM');
      return await running.ended;
    },
    pids,
    async killAndAwait(role) {
      const before = pids()[role] ?? 0;
      process.kill(before, 'SIGKILL');
      return await eventually(`another ${role}`, () => {
        const now = pids()[role];
        return now !== undefined && now !== before && isAlive(now) ? now : undefined;
      });
    },
    ports: () => readFileSync(join(dataDir, 'run', 'ports.json'), 'utf8'),
  };
}

/** Whether the API there says that it is well. */
export async function isHealthy(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/healthz`).catch(() => undefined);
  return answer?.status === 200;
}
