/** Whether the machine has anything else to do: figures of a busy one are worth nothing. Linux only. */

/** CPU time of the whole machine since it was started, in ticks. */
export interface CpuTicks {
  readonly busy: number;
  readonly all: number;
}

/** What the gate needs of the world. */
export interface GateOptions {
  /** Reads `/proc/stat`. */
  readonly readStat: () => Promise<string>;
  readonly cores: number;
  readonly pause: (ms: number) => Promise<void>;
  readonly now: () => number;
  readonly log: (line: string) => void;
}

/** How busy others kept the machine when a run began, in cores, and how long it was waited for. */
export interface Quiet {
  readonly load: number;
  readonly waitedMs: number;
}

/** Others kept the machine busy for longer than one waits. */
export class LoadedMachineError extends Error {
  override readonly name = 'LoadedMachineError';
}

/** Cores that others may keep busy. */
export const LOAD_LIMIT = 0.3;
const WINDOW_MS = 1000;
const PAUSE_MS = 5000;
const PATIENCE_MS = 300_000;

/** Reads the first line of `/proc/stat`. What a hypervisor gave to others counts as busy. */
export function parseStat(stat: string): CpuTicks {
  const line = /^cpu\s+(?<numbers>[\d ]+)$/m.exec(stat)?.groups?.['numbers'];
  if (line === undefined) throw new Error('/proc/stat has no line for all processors');
  // Guests are in user and nice already.
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = line
    .split(' ')
    .map(Number);
  const busy = user + nice + system + irq + softirq + steal;
  return { busy, all: busy + idle + iowait };
}

/** How many cores were busy between two readings. */
export function busyCores(before: CpuTicks, after: CpuTicks, cores: number): number {
  const passed = after.all - before.all;
  return passed <= 0 ? 0 : ((after.busy - before.busy) / passed) * cores;
}

/** How many cores are busy now; to be asked while nothing of ours runs. */
export async function measureLoad({ readStat, cores, pause }: GateOptions): Promise<number> {
  const before = parseStat(await readStat());
  await pause(WINDOW_MS);
  return busyCores(before, parseStat(await readStat()), cores);
}

/**
 * Waits until others leave the machine alone.
 *
 * @param force measures, but neither waits nor gives up
 * @throws {LoadedMachineError} when they do not within five minutes
 */
export async function waitForQuiet(options: GateOptions, force: boolean): Promise<Quiet> {
  const start = options.now();
  for (;;) {
    const load = await measureLoad(options);
    const waitedMs = options.now() - start;
    if (load <= LOAD_LIMIT || force) return { load, waitedMs };
    if (waitedMs >= PATIENCE_MS) {
      throw new LoadedMachineError(
        `others have kept ${load.toFixed(1)} of ${options.cores} cores busy for ${Math.round(waitedMs / 60_000)} minutes ` +
          `(${LOAD_LIMIT} are allowed); stop them, or take --force, which is noted in the report`,
      );
    }
    options.log(`others keep ${load.toFixed(1)} cores busy (${LOAD_LIMIT} are allowed); waiting`);
    await options.pause(PAUSE_MS);
  }
}
