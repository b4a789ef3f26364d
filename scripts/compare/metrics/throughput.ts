/** How many turns a second many sessions make together. */
import type { Context, Metric } from '../metric.ts';
import type { Sizes } from '../sizes.ts';
import type { Attached, Subject } from '../subject.ts';
import type { Values } from '../values.ts';

/** Sessions are made so many at a time. */
const MAKE_AT_ONCE = 16;
/** Turns that have not ended by then are given up, and said to be. */
const PATIENCE_MS = 120_000;

/** `throughput`. */
export const throughput: Metric = {
  name: 'throughput',
  title: 'Many sessions at once',
  figures: ({ throughput: { concurrency } }) => [
    ...concurrency.map((count) => ({
      key: `rate ${count}`,
      label: `${sessions(count)}: turns a second`,
      unit: 'turns/s' as const,
      better: 'higher' as const,
      ...(count === 16 && { headline: 'turns a second, 16 sessions' }),
      ...(count === 1000 && { headline: 'turns a second, 1,000 sessions' }),
    })),
    ...concurrency.map((count) => ({
      key: `turn ${count}`,
      label: `${sessions(count)}: a turn`,
      unit: 'ms' as const,
      better: 'lower' as const,
    })),
    ...concurrency.map((count) => ({
      key: `unfinished ${count}`,
      label: `${sessions(count)}: turns that failed or were given up`,
      unit: '' as const,
      better: 'lower' as const,
    })),
  ],
  method: ({ throughput: { boundMs, singleTurnFrom } }) =>
    `Sessions that exist already, each with its stream open, make turns without tools one after the other for ${boundMs / 1000} s; ` +
    `from ${singleTurnFrom.toLocaleString('en')} sessions on each makes a single turn, all sent at the same moment. ` +
    `Turns that have not ended after ${PATIENCE_MS / 1000} s are given up. The client runs on the same machine and takes its share of it.`,
  async run(subject, context) {
    const values: Record<string, number | number[]> = {};
    for (const count of context.sizes.throughput.concurrency) {
      const { rate, turns, unfinished } = await crowd(subject, count, context);
      Object.assign(values, { [`rate ${count}`]: rate, [`turn ${count}`]: turns });
      values[`unfinished ${count}`] = unfinished;
    }
    return values satisfies Values;
  },
};

function sessions(count: number): string {
  return count === 1 ? '1 session' : `${count.toLocaleString('en')} sessions`;
}

interface Crowd {
  readonly rate: number;
  readonly turns: number[];
  readonly unfinished: number;
}

async function crowd(subject: Subject, count: number, { sizes, log }: Context): Promise<Crowd> {
  const attached = await makeSessions(subject, count);
  log(`${count} sessions`);
  const turns: number[] = [];
  let open = 0;
  const start = performance.now();
  const one = async (session: Attached): Promise<void> => {
    do {
      open += 1;
      const { idleMs } = await session.turn(`hello ${turns.length}`);
      open -= 1;
      turns.push(idleMs);
    } while (isOn(sizes, count, performance.now() - start));
  };
  const all = Promise.all(
    attached.map(async (session) => {
      await one(session).catch((error: unknown) => log(`a turn failed: ${String(error)}`));
    }),
  );
  const patience = Promise.withResolvers<void>();
  const timer = setTimeout(() => patience.resolve(), sizes.throughput.boundMs + PATIENCE_MS);
  await Promise.race([all, patience.promise]);
  clearTimeout(timer);
  const tookMs = performance.now() - start;
  const result = { rate: (turns.length * 1000) / tookMs, turns: [...turns], unfinished: open };
  for (const session of attached) session.detach();
  return result;
}

function isOn({ throughput: { boundMs, singleTurnFrom } }: Sizes, count: number, passedMs: number): boolean {
  return count < singleTurnFrom && passedMs < boundMs;
}

async function makeSessions(subject: Subject, count: number): Promise<Attached[]> {
  const made: Attached[] = [];
  let left = count;
  const makeSome = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      made.push(await subject.attach(await subject.create()));
    }
  };
  await Promise.all(Array.from({ length: MAKE_AT_ONCE }, makeSome));
  return made;
}
