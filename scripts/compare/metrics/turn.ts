/** What a turn costs: time, CPU, bytes; at the start of a session and late in it. */
import type { TurnTimes } from '../../baseline/process.ts';
import { createAsk } from '../latency.ts';
import type { Context, Metric } from '../metric.ts';
import { cpuMsOf, writtenKiBOf } from '../processes.ts';
import type { Sizes } from '../sizes.ts';
import { distributionOf } from '../statistics.ts';
import type { Subject } from '../subject.ts';
import { perUnit, type ByName, type Values } from '../values.ts';

/** The turns that stand for the tenth. */
const EARLY = { from: 5, to: 15 };
/** Where the first stretch of the long session ends whose bytes and CPU are looked at. */
const FIRST_STRETCH = 100;

/** `turn`. */
export const turn: Metric = {
  name: 'turn',
  title: 'A turn',
  figures: ({ turn }) => {
    const { longTurns } = turn;
    const first = `turns 1 to ${FIRST_STRETCH}`;
    const last = `turns ${FIRST_STRETCH + 1} to ${longTurns}`;
    return [
      {
        key: 'early',
        label: 'overhead at turn 10',
        unit: 'ms',
        better: 'lower',
        headline: 'overhead of a turn',
      },
      {
        key: 'late',
        label: `overhead at turn ${lateTurn(turn)}`,
        unit: 'ms',
        better: 'lower',
        headline: `the same at turn ${lateTurn(turn)}`,
      },
      {
        key: 'first',
        label: 'from send to first text, warm session',
        unit: 'ms',
        better: 'lower',
        headline: 'time to first token',
      },
      { key: 'model', label: 'the model alone, at turn 10', unit: 'ms' },
      { key: 'modelLate', label: `the model alone, at turn ${lateTurn(turn)}`, unit: 'ms' },
      {
        key: 'cpu',
        label: `CPU a turn, ${first}`,
        unit: 'ms',
        better: 'lower',
        headline: 'CPU of a turn',
      },
      { key: 'cpuLate', label: `CPU a turn, ${last}`, unit: 'ms', better: 'lower' },
      {
        key: 'stored',
        label: `stored a turn, ${first}`,
        unit: 'KiB',
        better: 'lower',
        headline: 'stored for a turn',
      },
      { key: 'storedLate', label: `stored a turn, ${last}`, unit: 'KiB', better: 'lower' },
      { key: 'written', label: `written to disk a turn, ${last}`, unit: 'KiB', better: 'lower' },
    ];
  },
  method: ({ turn, turn: { shortSessions, longTurns, lateTurns } }) =>
    `A message, one answer of the model, no tool call; one session at a time, its stream open. ` +
    `Turn 10 is turns ${EARLY.from + 1} to ${EARLY.to} of ${shortSessions} sessions; turn ${lateTurn(turn)} is the last ${lateTurns} of a session of ${longTurns}. ` +
    `Overhead is the time from the call of \`send\` to \`session.status_idle\`, less the median of requests to the model alone, each made between two of those turns with a conversation of their length. ` +
    `Time to first token is from the call of \`send\` to the first text, the model's own time included, at turn 10. ` +
    `Stored is what is in the tables and blobs; written is what the processes sent to disk, write-ahead logs included.`,
  run: measure,
};

/** The turn that the late ones stand for. */
export function lateTurn({ longTurns, lateTurns }: Sizes['turn']): number {
  return longTurns - lateTurns / 2;
}

async function measure(subject: Subject, { sizes, model }: Context): Promise<Values> {
  const { shortSessions, longTurns, lateTurns } = sizes.turn;
  const askEarly = await createAsk(model.url, (EARLY.from + EARLY.to) / 2);
  const askLate = await createAsk(model.url, lateTurn(sizes.turn));
  const [modelEarly, modelLate]: [number[], number[]] = [[], []];
  const early: TurnTimes[] = [];
  for (let session = 0; session < shortSessions; session += 1) {
    const attached = await subject.attach(await subject.create());
    for (let count = 1; count <= EARLY.to; count += 1) {
      const times = await attached.turn(`hello ${count}`);
      if (count > EARLY.from) early.push(times);
      if (count > EARLY.from) modelEarly.push(await askEarly());
    }
    attached.detach();
  }

  const attached = await subject.attach(await subject.create());
  const marks = [await look(subject)];
  const times: TurnTimes[] = [];
  for (let count = 1; count <= longTurns; count += 1) {
    times.push(await attached.turn(`hello ${count}`));
    // In turn, so that what else happens on the machine hits both alike.
    if (count > longTurns - lateTurns) modelLate.push(await askLate());
    if (count === FIRST_STRETCH || count === longTurns) marks.push(await look(subject));
  }
  attached.detach();

  const [start, middle, end] = marks;
  if (!start || !middle || !end) throw new Error(`the long session needs more than ${FIRST_STRETCH} turns`);
  const rest = longTurns - FIRST_STRETCH;
  return {
    early: overheads(early, modelEarly),
    late: overheads(times.slice(-lateTurns), modelLate),
    first: early.map(({ firstTextMs }) => firstTextMs).filter(Number.isFinite),
    model: modelEarly,
    modelLate,
    cpu: perUnit(start.cpu, middle.cpu, FIRST_STRETCH),
    cpuLate: perUnit(middle.cpu, end.cpu, rest),
    stored: perUnit(start.stored, middle.stored, FIRST_STRETCH),
    storedLate: perUnit(middle.stored, end.stored, rest),
    written: perUnit(middle.written, end.written, rest),
  };
}

/** Turns of a new session, one after the other. */
export async function runTurns(subject: Subject, turns: number): Promise<TurnTimes[]> {
  const attached = await subject.attach(await subject.create());
  const times: TurnTimes[] = [];
  for (let count = 1; count <= turns; count += 1) times.push(await attached.turn(`hello ${count}`));
  attached.detach();
  return times;
}

function overheads(times: readonly TurnTimes[], model: readonly number[]): number[] {
  const own = distributionOf(model)?.p50 ?? 0;
  return times.map(({ idleMs }) => idleMs - own);
}

interface Mark {
  readonly cpu: ByName;
  readonly stored: ByName;
  readonly written: ByName;
}

async function look(subject: Subject): Promise<Mark> {
  const groups = await subject.groups();
  return {
    cpu: await cpuMsOf(groups),
    stored: await subject.stored(),
    written: await writtenKiBOf(groups),
  };
}
