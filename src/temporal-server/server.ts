/** The embedded Temporal server: the CLI's development server with settings that carry real work. */
import { Connection } from '@temporalio/client';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { environment } from '../config.ts';
import { orAborted } from '../supervisor/abort.ts';
import type { ReadyInfo } from '../supervisor/child.ts';
import { temporalDatabase } from '../supervisor/data-dir.ts';
import { roleEnvironment } from '../supervisor/environment.ts';
import { tryLock } from '../supervisor/lock.ts';
import { stopLeftover } from '../supervisor/pid-file.ts';
import { choosePorts } from '../supervisor/ports.ts';
import { keepRunning } from '../supervisor/process.ts';
import { temporalMark } from '../supervisor/roles.ts';
import { ensureTemporalCli } from './cli.ts';
import { connectionOptions } from './connection.ts';

/** Temporal's dynamic configuration: keys as its documentation has them. */
export type DynamicConfig = Readonly<Record<string, string | number | boolean>>;

/** Where the server keeps its state, and what may be chosen about it. */
export interface TemporalServerOptions {
  /** Holds the database, its log, its pid and its ports. One server at a time. */
  readonly dataDir: string;
  /** Default: a free one, the same at the next start. */
  readonly port?: number | undefined;
  readonly uiPort?: number | undefined;
  /** Gets a line when something happens that a person may want to know. */
  readonly log?: (line: string) => void;
  readonly signal?: AbortSignal;
  /** Further dynamic configuration, for tests that need other limits. */
  readonly dynamicConfig?: DynamicConfig;
}

/** A server that is kept running until `stop`. */
export interface TemporalServer {
  readonly address: string;
  readonly uiUrl: string;
  pid(): number | undefined;
  stop(): Promise<void>;
}

const LOOPBACK = '127.0.0.1';
const GRACE_MS = 3500;
const LEFTOVER_GRACE_MS = 5000;
const PROBE_MS = 50;
const PROBE_WITHIN_MS = 1000;
const SERVICE = 'temporal.api.workflowservice.v1.WorkflowService';
const SERVING = 1;

/** The default rollback journal has a third of the throughput. FULL: what was acknowledged survives a power cut. */
const PRAGMAS = { journal_mode: 'WAL', synchronous: 'FULL' };

/**
 * Limits and settings that the embedded server runs with. `docker/temporal/dynamicconfig.yaml` has the same, and so has
 * the server on Postgres that tests and comparisons start.
 */
export const DYNAMIC_CONFIG: DynamicConfig = {
  // The default caps a session at about ten activities a second.
  'history.transferProcessorMaxPollRPS': 2000,
  // An activity can start with the answer that ordered it, without a trip through the queue.
  'system.enableActivityEagerExecution': true,
  // One machine has nothing to gain from four partitions, and each hop between them costs.
  'matching.numTaskqueueReadPartitions': 1,
  'matching.numTaskqueueWritePartitions': 1,
  // A closed run may be deleted before its close was handled: that would tell parents and children, and there are none.
  'history.transferProcessorEnsureCloseBeforeDelete': false,
  // A worker that hangs goes on holding its polls, and every task handed to them is lost for ten seconds; by default
  // its connection is given up after more than a minute.
  'frontend.keepAliveTime': '5s',
  'frontend.keepAliveTimeout': '5s',
  // Every watched session is a long poll; the default allows 1,200 of them.
  'frontend.namespaceCount': 20_000,
};

/**
 * Starts a Temporal server on `dataDir`, or goes on with what is there; gets the program first where it is missing,
 * which may take minutes. A server left over from a killed process is stopped. Resolves when it serves.
 */
export async function startTemporal(options: TemporalServerOptions): Promise<TemporalServer> {
  const { dataDir, log = () => undefined, signal = new AbortController().signal } = options;
  const runDir = join(dataDir, 'run');
  const logsDir = join(dataDir, 'logs');
  await mkdir(runDir, { recursive: true, mode: 0o700 });
  await mkdir(logsDir, { recursive: true, mode: 0o700 });
  const lock = tryLock(join(runDir, 'temporal.lock'));
  if (lock === undefined) throw new Error(`another process runs a Temporal server on ${dataDir}`);
  try {
    const program = await ensureTemporalCli({ log, signal });
    await stopLeftover(runDir, 'temporal', [temporalMark(dataDir)], LEFTOVER_GRACE_MS);
    const fixed = { temporal: options.port, temporalUi: options.uiPort };
    const ports = await choosePorts(join(runDir, 'ports.json'), ['temporal', 'temporalUi'], fixed);
    const address = `${LOOPBACK}:${ports.temporal}`;
    const args = serverArguments(dataDir, ports, { ...DYNAMIC_CONFIG, ...options.dynamicConfig });
    const kept = keepRunning(
      {
        name: 'temporal',
        command: () => ({ program, args, env: roleEnvironment('temporal', environment()) }),
        readiness: (over) => untilServing(address, over),
        graceMs: GRACE_MS,
      },
      { runDir, logsDir, log },
    );
    const stop = async () => {
      await kept.stop();
      lock.release();
    };
    await orAborted(kept.ready, signal).catch(async (error: unknown) => {
      await kept.stop();
      throw error;
    });
    return { address, uiUrl: `http://${LOOPBACK}:${ports.temporalUi}`, pid: () => kept.pid(), stop };
  } catch (error) {
    lock.release();
    throw error;
  }
}

function serverArguments(
  dataDir: string,
  ports: { readonly temporal: number; readonly temporalUi: number },
  dynamicConfig: DynamicConfig,
): string[] {
  const flags = {
    '--db-filename': temporalDatabase(dataDir),
    '--ip': LOOPBACK,
    '--port': String(ports.temporal),
    '--ui-ip': LOOPBACK,
    '--ui-port': String(ports.temporalUi),
    '--log-level': 'error',
    '--log-format': 'json',
  };
  const pragmas = Object.entries(PRAGMAS).flatMap(([name, value]) => ['--sqlite-pragma', `${name}=${value}`]);
  const dynamic = Object.entries(dynamicConfig).flatMap(([key, value]) => [
    '--dynamic-config-value',
    `${key}=${JSON.stringify(value)}`,
  ]);
  return ['server', 'start-dev', ...Object.entries(flags).flat(), ...pragmas, ...dynamic];
}

/** Resolves when the server at `address` serves; rejects when the signal aborts. */
export async function untilServing(address: string, signal: AbortSignal): Promise<ReadyInfo> {
  const connection = Connection.lazy(connectionOptions(address));
  try {
    for (;;) {
      signal.throwIfAborted();
      if (await isServing(connection)) return {};
      await sleep(PROBE_MS, undefined, { signal });
    }
  } finally {
    await connection.close();
  }
}

async function isServing(connection: Connection): Promise<boolean> {
  try {
    const { status } = await connection.withDeadline(Date.now() + PROBE_WITHIN_MS, () =>
      connection.healthService.check({ service: SERVICE }),
    );
    const answered: number = status;
    return answered === SERVING;
  } catch {
    // Not there yet; whoever waits has a time limit.
    return false;
  }
}
