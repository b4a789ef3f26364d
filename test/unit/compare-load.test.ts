import { describe, expect, it } from 'vitest';
import {
  busyCores,
  LoadedMachineError,
  LOAD_LIMIT,
  measureLoad,
  parseStat,
  waitForQuiet,
  type GateOptions,
} from '../../scripts/compare/load.ts';

const STAT = 'cpu  100 10 50 800 40 5 5 30 7 0\ncpu0 1 2 3 4 5 6 7 8 9 0\nintr 1 2 3\n';

/** A machine of two cores on which others are as busy as `loads` says, second by second; the last one stays. */
function machine(...loads: readonly number[]): GateOptions & { readonly said: string[] } {
  const cores = 2;
  const said: string[] = [];
  let [nowMs, busy, all, at] = [0, 0, 0, 0];
  return {
    cores,
    said,
    now: () => nowMs,
    log: (line) => said.push(line),
    readStat: async () => `cpu  ${busy} 0 0 ${all - busy} 0 0 0 0 0 0\n`,
    pause: async (ms) => {
      nowMs += ms;
      busy += (loads[Math.min(at, loads.length - 1)] ?? 0) * (ms / 10);
      all += cores * (ms / 10);
      // Only the windows of a second are looked at; each sees the next load.
      if (ms === 1000) at += 1;
    },
  };
}

describe('parseStat', () => {
  it('counts all but idle and waiting for disks as busy, what a hypervisor took too', () => {
    expect(parseStat(STAT)).toEqual({ busy: 200, all: 1040 });
  });

  it('refuses what is no /proc/stat', () => {
    expect(() => parseStat('intr 1 2 3')).toThrow('/proc/stat');
  });
});

describe('busyCores', () => {
  it('is the busy share of the time that passed, in cores', () => {
    expect(busyCores({ busy: 100, all: 1000 }, { busy: 150, all: 1200 }, 2)).toBe(0.5);
  });

  it('is none where no time passed', () => {
    expect(busyCores({ busy: 1, all: 5 }, { busy: 1, all: 5 }, 2)).toBe(0);
  });
});

it('measures over a second', async () => {
  expect(await measureLoad(machine(0.8))).toBeCloseTo(0.8);
});

describe('waitForQuiet', () => {
  it('lets a quiet machine through at once', async () => {
    expect(await waitForQuiet(machine(LOAD_LIMIT - 0.1), false)).toMatchObject({ waitedMs: 1000 });
  });

  it('waits until others are done, and says so', async () => {
    const busy = machine(1.5, 1.2, 0.1);
    const { load, waitedMs } = await waitForQuiet(busy, false);
    expect(load).toBeCloseTo(0.1);
    expect(waitedMs).toBe(13_000);
    expect(busy.said).toHaveLength(2);
    expect(busy.said[0]).toContain('others keep 1.5 cores busy');
  });

  it('gives up after five minutes, with what can be done about it', async () => {
    const busy = machine(1.5);
    await expect(waitForQuiet(busy, false)).rejects.toThrow(LoadedMachineError);
    await expect(waitForQuiet(machine(1.5), false)).rejects.toThrow(
      /1\.5 of 2 cores busy for 5 minutes.*--force/,
    );
    expect(busy.now()).toBeGreaterThanOrEqual(300_000);
  });

  it('measures but does not wait when it is forced', async () => {
    const { load, waitedMs } = await waitForQuiet(machine(1.5), true);
    expect(load).toBeCloseTo(1.5);
    expect(waitedMs).toBe(1000);
  });
});
