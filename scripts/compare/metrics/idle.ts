/** What sessions cost that sleep, and how quickly one of them wakes. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Context, Metric } from '../metric.ts';
import { cpuMsOf, memoryMiBOf } from '../processes.ts';
import { seededRandom, total } from '../statistics.ts';
import type { Subject } from '../subject.ts';
import { perUnit, type Values } from '../values.ts';

const MAKE_AT_ONCE = 24;
/** What is put off when a session is made has this long to happen. */
const CALM_MS = 5000;

/** `idle`. */
export const idle: Metric = {
  name: 'idle',
  title: 'Sleeping sessions',
  figures: ({ idle: { quietMs } }) => [
    { key: 'made', label: 'sessions that sleep', unit: '' },
    { key: 'rate', label: 'made a second', unit: 'sessions/s', better: 'higher' },
    { key: 'memoryBefore', label: 'memory before', unit: 'MiB', better: 'lower' },
    { key: 'memory', label: 'memory while they sleep', unit: 'MiB', better: 'lower' },
    {
      key: 'memoryEach',
      label: 'memory that came with one',
      unit: 'KiB',
      better: 'lower',
      headline: 'memory for a sleeping session',
    },
    {
      key: 'cpu',
      label: `CPU in ${quietMs / 1000} quiet seconds`,
      unit: 's',
      better: 'lower',
      headline: `CPU of ${quietMs / 1000} quiet seconds`,
    },
    { key: 'stored', label: 'stored for one', unit: 'KiB', better: 'lower' },
    {
      key: 'wake',
      label: 'a message to one of them, send to idle',
      unit: 'ms',
      better: 'lower',
      headline: 'waking a session',
    },
  ],
  method: ({ idle: { sessions, makeWithinMs, quietMs, wakes } }) =>
    `${sessions.toLocaleString('en')} sessions, or as many as can be made in ${makeWithinMs / 1000} s, are created and never spoken to: none has a sandbox or a turn behind it. ` +
    `After ${CALM_MS / 1000} s of calm, ${quietMs / 1000} s in which nobody asks for anything; then a message to ${wakes} of them, picked at random. ` +
    `Memory is the proportional share (PSS).`,
  run: measure,
};

async function measure(subject: Subject, { sizes, seed, log }: Context): Promise<Values> {
  const { quietMs, wakes } = sizes.idle;
  const memoryBefore = await memoryMiBOf(await subject.groups());
  const storedBefore = await subject.stored();
  const start = performance.now();
  const sessions = await makeSessions(subject, sizes.idle);
  const madeMs = performance.now() - start;
  log(`${sessions.length} sessions`);
  await pause(CALM_MS);
  const cpuBefore = await cpuMsOf(await subject.groups());
  await pause(quietMs);
  const cpuAfter = await cpuMsOf(await subject.groups());
  const memory = await memoryMiBOf(await subject.groups());
  const stored = await subject.stored();
  return {
    made: sessions.length,
    rate: (sessions.length * 1000) / madeMs,
    memoryBefore,
    memory,
    memoryEach: ((total(memory) - total(memoryBefore)) * 1024) / sessions.length,
    cpu: perUnit(cpuBefore, cpuAfter, 1000),
    stored: perUnit(storedBefore, stored, sessions.length),
    wake: await wake(subject, sessions, { count: wakes, seed }),
  };
}

async function makeSessions(
  subject: Subject,
  { sessions, makeWithinMs }: Context['sizes']['idle'],
): Promise<string[]> {
  const made: string[] = [];
  const deadline = performance.now() + makeWithinMs;
  let left = sessions;
  const makeSome = async (): Promise<void> => {
    while (left > 0 && performance.now() < deadline) {
      left -= 1;
      made.push(await subject.create());
    }
  };
  await Promise.all(Array.from({ length: MAKE_AT_ONCE }, makeSome));
  return made;
}

async function wake(
  subject: Subject,
  sessions: readonly string[],
  { count, seed }: { readonly count: number; readonly seed: number },
): Promise<number[]> {
  const random = seededRandom(seed);
  const left = [...sessions];
  const samples: number[] = [];
  for (let run = 0; run < count; run += 1) {
    const [id] = left.splice(Math.floor(random() * left.length), 1);
    if (id === undefined) break;
    const attached = await subject.attach(id);
    samples.push((await attached.turn('Good morning.')).idleMs);
    attached.detach();
  }
  return samples;
}
