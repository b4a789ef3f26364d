/** A process that is kept running: started, started again when it dies, stopped in the end. Knows no roles. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChild, type Child, type Command, type Exit, type Readiness, type ReadyInfo } from './child.ts';
import { toTerminalLine } from './output.ts';
import { removePid, writePid } from './pid-file.ts';
import { restartDelayMs, STABLE_MS } from './restart.ts';

/** What is to be kept running. */
export interface ProcessSpec {
  /** Names the pid file and the log file. */
  readonly name: string;
  /** Asked before each start. `previous` is what the process said when it was last ready: a restart keeps its port. */
  readonly command: (previous: ReadyInfo | undefined) => Command;
  readonly readiness: Readiness;
  /** How long it may take to stop before it is killed. */
  readonly graceMs: number;
}

/** Where the traces of a process go. */
export interface ProcessPlaces {
  readonly runDir: string;
  readonly logsDir: string;
  readonly log: (line: string) => void;
}

/** A process that is kept running. */
export interface KeptProcess {
  readonly name: string;
  /** Settles once: when it is ready for the first time, or when it is clear that it cannot be. */
  readonly ready: Promise<ReadyInfo>;
  pid(): number | undefined;
  /** Stops it for good; resolves when no process is left. May be called again. */
  stop(): Promise<void>;
}

const START_ATTEMPTS = 3;
const READY_WITHIN_MS = 60_000;
/** A role ends with this code when its settings are wrong: trying again would not help. */
const CONFIG_EXIT_CODE = 2;

/**
 * Starts a process and keeps it running until `stop`. One that dies before it was ever ready is tried a few times,
 * then `ready` rejects; one that was ready is started again however often it dies.
 */
export function keepRunning(spec: ProcessSpec, places: ProcessPlaces): KeptProcess {
  const ready = Promise.withResolvers<ReadyInfo>();
  ready.promise.catch(() => undefined);
  const stopping = new AbortController();
  const state: State = { child: undefined, info: undefined, failures: 0 };
  const done = loop(spec, places, state, { stopping: stopping.signal, ready });
  return {
    name: spec.name,
    ready: ready.promise,
    pid: () => state.child?.pid,
    async stop() {
      stopping.abort();
      ready.reject(new Error(`${spec.name} was stopped`));
      const kill = setTimeout(() => state.child?.kill('SIGKILL'), spec.graceMs);
      state.child?.kill('SIGTERM');
      await done;
      clearTimeout(kill);
    },
  };
}

interface State {
  child: Child | undefined;
  info: ReadyInfo | undefined;
  failures: number;
}

interface Control {
  readonly stopping: AbortSignal;
  readonly ready: PromiseWithResolvers<ReadyInfo>;
}

async function loop(spec: ProcessSpec, places: ProcessPlaces, state: State, control: Control): Promise<void> {
  const { stopping, ready } = control;
  try {
    while (!stopping.aborted) {
      const exit = await runOnce(spec, places, state, ready.resolve);
      if (stopping.aborted) break;
      state.failures = (exit.readyForMs ?? 0) >= STABLE_MS ? 1 : state.failures + 1;
      const hopeless = exit.code === CONFIG_EXIT_CODE || state.failures >= START_ATTEMPTS;
      if (state.info === undefined && hopeless) {
        const where = join(places.logsDir, `${spec.name}.log`);
        ready.reject(new Error(`${spec.name} does not start: ${exit.cause} (see ${where})`));
        break;
      }
      places.log(`${spec.name} ended (${exit.cause}); starting it again`);
      await sleep(restartDelayMs(state.failures), undefined, { signal: stopping }).catch(() => undefined);
    }
  } catch (error) {
    ready.reject(error);
    if (state.info !== undefined) places.log(`${spec.name} is lost: ${String(error)}`);
  } finally {
    await removePid(places.runDir, spec.name);
  }
}

async function runOnce(
  spec: ProcessSpec,
  places: ProcessPlaces,
  state: State,
  onReady: (info: ReadyInfo) => void,
): Promise<Exit> {
  const child = startChild(spec.command(state.info), {
    readiness: spec.readiness,
    logFile: join(places.logsDir, `${spec.name}.log`),
    readyWithinMs: READY_WITHIN_MS,
    onError: (line) => {
      const shown = toTerminalLine(spec.name, line);
      if (shown !== undefined) places.log(shown);
    },
    onReady: (info) => {
      state.info = info;
      onReady(info);
    },
  });
  state.child = child;
  if (child.pid !== undefined) await writePid(places.runDir, spec.name, child.pid);
  const exit = await child.ended;
  state.child = undefined;
  return exit;
}
