/** What clients see while the database is away, and what has become of it when it is back. */
import Anthropic from '@anthropic-ai/sdk';
import { setTimeout as pause } from 'node:timers/promises';
import { listAll, say } from '../follow.ts';
import type { Context, Metric } from '../metric.ts';
import type { Outage, OutageName } from '../outages.ts';
import type { ServerSubject } from '../subject.ts';
import type { Value, Values } from '../values.ts';

const NAMES: Readonly<Record<OutageName, string>> = {
  temporal: 'Temporal is down',
  postgres: 'Postgres is down',
  sqlite: 'the SQLite file is locked',
};
const ASK_EVERY_MS = 1000;
/** What was queued somewhere has this long to come up. */
const COMES_UP_WITHIN_MS = 5000;
const BACK_WITHIN_MS = 60_000;
const POLL_MS = 50;

/** `outage`. */
export const outage: Metric = {
  name: 'outage',
  title: 'While the database is away',
  figures: () =>
    Object.entries(NAMES).flatMap(([name, words]) => [
      { key: `${name} reads`, label: `${words}: lists of events`, unit: '' as const },
      { key: `${name} sends`, label: `${words}: messages`, unit: '' as const },
      { key: `${name} streams`, label: `${words}: an open stream`, unit: '' as const },
      {
        key: `${name} readsBack`,
        label: `${words}, is back: until lists are answered`,
        unit: 's' as const,
        better: 'lower' as const,
      },
      {
        key: `${name} turnsBack`,
        label: `${words}, is back: until a turn ends`,
        unit: 's' as const,
        better: 'lower' as const,
      },
      { key: `${name} kept`, label: `${words}, is back: messages`, unit: '' as const },
    ]),
  method: ({ outage: { downMs } }) =>
    `A server process is killed and not started again for ${downMs / 1000} s; a SQLite file is locked by another process for as long. ` +
    `In the first half of it a list and a message once a second, to sessions of their own, whose clients wait for an answer as long as it lasts. ` +
    `Times are from the moment that it is started again, or unlocked. Afterwards: which messages stand in the log, those that were not acknowledged among them.`,
  async run(subject, context) {
    if (subject.kind === 'program') return {};
    const values: Record<string, Value> = {};
    for (const one of subject.outages) {
      const found = await suffer(subject, one, context);
      for (const [key, value] of Object.entries(found)) values[`${one.name} ${key}`] = value;
      context.log(NAMES[one.name]);
    }
    return values;
  },
};

interface Attempt {
  readonly text: string;
  /** How it was answered: ok, a status, or no answer. */
  readonly outcome: string;
  readonly ms: number;
}

async function suffer(
  subject: ServerSubject,
  { begin, end }: Outage,
  { sizes, log }: Context,
): Promise<Values> {
  const { client } = subject;
  const [reader, writer, watched, later] = [
    await subject.create(),
    await subject.create(),
    await subject.create(),
    await subject.create(),
  ];
  for (const id of [reader, writer, watched]) {
    const attached = await subject.attach(id);
    await attached.turn('before');
    attached.detach();
  }
  const stream = await watch(client, watched);
  await begin();
  let [reads, sends]: [Attempt[], Attempt[]] = [[], []];
  let backMs = 0;
  try {
    const start = performance.now();
    const pending: Promise<readonly [Attempt, Attempt]>[] = [];
    const passedMs = (): number => performance.now() - start;
    for (let at = 0; passedMs() < sizes.outage.downMs / 2; at += 1) {
      const text = `message ${at}`;
      // What is answered when it is back is no answer of an outage.
      const patient = client.withOptions({ timeout: sizes.outage.downMs - passedMs() });
      pending.push(
        Promise.all([
          attempt('', async () => void (await patient.beta.sessions.events.list(reader, { limit: 10 }))),
          attempt(text, () => say(patient, writer, text)),
        ]),
      );
      await pause(ASK_EVERY_MS);
    }
    await pause(Math.max(0, sizes.outage.downMs - passedMs()));
    const done = await Promise.all(pending);
    [reads, sends] = [done.map(([read]) => read), done.map(([, send]) => send)];
  } finally {
    backMs = performance.now();
    await end();
  }
  const readsBack = await untilOk(async () => void (await listAll(client, reader)), backMs);
  const turnsBack = await untilOk(async () => {
    const attached = await subject.attach(later);
    try {
      await Promise.race([attached.turn('after'), late()]);
    } finally {
      attached.detach();
    }
  }, backMs);
  log(`${sends.length} messages were tried`);
  return {
    reads: inWords(reads),
    sends: inWords(sends),
    streams: stream.stop(),
    readsBack,
    turnsBack,
    kept: await whatWasKept(client, writer, sends),
  };
}

async function attempt(text: string, act: () => Promise<void>): Promise<Attempt> {
  const start = performance.now();
  const outcome = await act().then(
    () => 'ok',
    (error: unknown) => outcomeOf(error),
  );
  return { text, outcome, ms: performance.now() - start };
}

function outcomeOf(error: unknown): string {
  if (error instanceof Anthropic.APIConnectionTimeoutError) return `no answer`;
  if (error instanceof Anthropic.APIError && error.status !== undefined) return String(error.status);
  return 'connection lost';
}

/** `9 of 9: ok, 12 ms`; or each outcome with how often. */
function inWords(attempts: readonly Attempt[]): string {
  const outcomes = new Map<string, number[]>();
  for (const { outcome, ms } of attempts) outcomes.set(outcome, [...(outcomes.get(outcome) ?? []), ms]);
  return [...outcomes]
    .map(([outcome, times]) => {
      const middle = [...times].sort((left, right) => left - right)[Math.floor(times.length / 2)] ?? 0;
      return `${times.length} of ${attempts.length}: ${outcome}, ${Math.round(middle)} ms`;
    })
    .join('; ');
}

/** An open stream: whether it lives through the outage. */
async function watch(client: Anthropic, id: string): Promise<{ stop(): string }> {
  const stream = await client.beta.sessions.events.stream(id);
  let [state, isOver] = ['stays open', false];
  const read = async (): Promise<string> => {
    for await (const _ of stream) if (isOver) break;
    return 'is ended';
  };
  void read()
    .catch(() => 'is broken')
    .then((how) => {
      if (!isOver) state = how;
    });
  return {
    stop() {
      isOver = true;
      stream.controller.abort();
      return state;
    },
  };
}

async function untilOk(act: () => Promise<void>, sinceMs: number): Promise<number | string> {
  while (performance.now() - sinceMs < BACK_WITHIN_MS) {
    const ok = await act().then(
      () => true,
      () => false,
    );
    if (ok) return (performance.now() - sinceMs) / 1000;
    await pause(POLL_MS);
  }
  return `not within ${BACK_WITHIN_MS / 1000} s`;
}

async function late(): Promise<never> {
  await pause(BACK_WITHIN_MS, undefined, { ref: false });
  throw new Error('late');
}

async function whatWasKept(client: Anthropic, id: string, sends: readonly Attempt[]): Promise<string> {
  await pause(COMES_UP_WITHIN_MS);
  const listed = await listAll(client, id);
  const texts = listed.flatMap((event) =>
    event.type === 'user.message'
      ? event.content.flatMap((block) => (block.type === 'text' ? [block.text] : []))
      : [],
  );
  const isThere = ({ text }: Attempt): boolean => texts.includes(text);
  const [accepted, refused] = [
    sends.filter(({ outcome }) => outcome === 'ok'),
    sends.filter(({ outcome }) => outcome !== 'ok'),
  ];
  return `${accepted.filter(isThere).length} of ${accepted.length} acknowledged ones are in the log, ${refused.filter(isThere).length} of ${refused.length} others too`;
}
