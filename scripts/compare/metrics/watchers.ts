/** What it costs that others look on. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Metric } from '../metric.ts';
import { cpuMsOf } from '../processes.ts';
import type { ServerSubject, Subject } from '../subject.ts';
import { perUnit, type ByName, type Values } from '../values.ts';

/** `watchers`. */
export const watchers: Metric = {
  name: 'watchers',
  title: 'Watching a session',
  figures: ({ watchers: { watchers } }) => [
    { key: 'alone', label: 'a turn, nobody else watches', unit: 'ms', better: 'lower' },
    { key: 'watched', label: `a turn, ${watchers} more streams`, unit: 'ms', better: 'lower' },
    { key: 'cpuAlone', label: 'CPU a turn, nobody else watches', unit: 'ms', better: 'lower' },
    { key: 'cpuWatched', label: `CPU a turn, ${watchers} more streams`, unit: 'ms', better: 'lower' },
    { key: 'storedAlone', label: 'stored a turn, nobody else watches', unit: 'KiB', better: 'lower' },
    { key: 'storedWatched', label: `stored a turn, ${watchers} more streams`, unit: 'KiB', better: 'lower' },
    { key: 'complete', label: 'streams that saw every turn end', unit: '' },
  ],
  method: ({ watchers: { watchers, turns } }) =>
    `${turns} plain turns of one session with only the stream of the client that sends, then ${turns} of another with ${watchers} more streams with previews open on it.`,
  async run(subject, { sizes }) {
    if (subject.kind === 'program') return {};
    const { watchers: count, turns } = sizes.watchers;
    const alone = await watched(subject, 0, turns);
    const seen = await watched(subject, count, turns);
    return {
      alone: alone.idle,
      watched: seen.idle,
      cpuAlone: alone.cpu,
      cpuWatched: seen.cpu,
      storedAlone: alone.stored,
      storedWatched: seen.stored,
      complete: `${seen.complete} of ${count}`,
    } satisfies Values;
  },
};

interface Watched {
  readonly idle: number[];
  readonly cpu: ByName;
  readonly stored: ByName;
  /** Watchers that saw all turns end. */
  readonly complete: number;
}

const LATE_MS = 5000;

async function watched(subject: ServerSubject, count: number, turns: number): Promise<Watched> {
  const { client } = subject;
  const attached = await subject.attach(await subject.create());
  const streams = await Promise.all(
    Array.from({ length: count }, () =>
      client.beta.sessions.events.stream(attached.id, { event_deltas: ['agent.message'] }),
    ),
  );
  const reading = streams.map(async (stream) => {
    let idles = 0;
    for await (const event of stream) {
      if (event.type === 'session.status_idle') idles += 1;
      if (idles === turns) return true;
    }
    return false;
  });
  const before = await look(subject);
  const idle: number[] = [];
  for (let turn = 0; turn < turns; turn += 1) idle.push((await attached.turn(`hello ${turn}`)).idleMs);
  const after = await look(subject);
  const timer = setTimeout(() => {
    for (const stream of streams) stream.controller.abort();
  }, LATE_MS);
  const ends = await Promise.all(reading.map((one) => one.catch(() => false)));
  clearTimeout(timer);
  for (const stream of streams) stream.controller.abort();
  attached.detach();
  return {
    idle,
    cpu: perUnit(before.cpu, after.cpu, turns),
    stored: perUnit(before.stored, after.stored, turns),
    complete: ends.filter(Boolean).length,
  };
}

/** What is put off when a turn ends has this long to happen. */
const CALM_MS = 1000;

async function look(subject: Subject): Promise<{ cpu: ByName; stored: ByName }> {
  await pause(CALM_MS);
  return { cpu: await cpuMsOf(await subject.groups()), stored: await subject.stored() };
}
