/** A whole server under kills: many clients that work on, and an account of everything afterwards. */
import type Anthropic from '@anthropic-ai/sdk';
import { setTimeout as pause } from 'node:timers/promises';
import { follow, isPassing, listAll, say, type Event, type Following } from '../follow.ts';
import type { Context } from '../metric.ts';
import { seededRandom } from '../statistics.ts';
import type { ServerSubject } from '../subject.ts';
import type { Values } from '../values.ts';
import { countMarks, countRepeated, isAbout, markedTurn, untilAtWork } from './chaos-marks.ts';

const AGAIN_AFTER_MS = 100;
/** A client does not wait longer for one answer. */
const ANSWER_WITHIN_MS = 10_000;
const LIST_WITHIN_MS = 60_000;

/** One session and what its client knows. */
interface Worker {
  readonly session: string;
  readonly following: Following;
  /** Turns whose message was acknowledged. */
  readonly acknowledged: string[];
  begun: number;
  finished: number;
}

/** Runs the scenario. */
export async function harass(subject: ServerSubject, context: Context): Promise<Values> {
  const { sizes, model, log } = context;
  const requestsBefore = await model.countRequests();
  const client = subject.client.withOptions({ timeout: ANSWER_WITHIN_MS });
  const over = new AbortController();
  const patience = new AbortController();
  const workers = await Promise.all(
    Array.from({ length: sizes.chaos.sessions }, async (): Promise<Worker> => {
      const session = await subject.create();
      return { session, following: follow(subject.client, session), acknowledged: [], begun: 0, finished: 0 };
    }),
  );
  const drivers = Promise.all(
    workers.map((worker, number) => drive(client, worker, number, { over, patience })),
  );
  drivers.catch(() => undefined);
  await untilAtWork(() => workers.every(({ finished }) => finished > 0));
  const start = performance.now();
  const early = sumOf(workers, ({ finished }) => finished);
  const victims = await killAtRandom(subject, context);
  over.abort();
  const timer = setTimeout(() => patience.abort(), sizes.chaos.settleMs);
  await drivers;
  clearTimeout(timer);
  const tookMs = performance.now() - start;
  log('counting');
  const accounts = await Promise.all(workers.map((worker) => account(subject.client, worker)));
  await Promise.all(workers.map(({ following }) => following.stop()));
  const requests = (await model.countRequests()) - requestsBefore;
  const marks = await countMarks(subject.dataDir);
  const sum = (of: (one: Account) => number): number => accounts.reduce((all, one) => all + of(one), 0);
  const [begun, finished] = [
    sumOf(workers, ({ begun }) => begun),
    sumOf(workers, ({ finished }) => finished),
  ];
  return {
    kills: [...victims.values()].reduce((all, times) => all + times, 0),
    victims: [...victims].map(([name, times]) => `${name} ${times}`).join(', '),
    begun,
    finished,
    rate: ((finished - early) * 1000) / tookMs,
    stuck: begun - finished,
    conversations: 0,
    acknowledged: sum(({ acknowledged }) => acknowledged),
    doubled: sum(({ doubled }) => doubled),
    eventsLost: sum(({ eventsLost }) => eventsLost),
    eventsTwice: sum(({ eventsTwice }) => eventsTwice),
    toolsTwice: countRepeated(marks),
    toolsLost: sum(({ ran }) => ran.filter((mark) => !marks.has(mark)).length),
    unknown: sum(({ unknown }) => unknown),
    modelTwice: requests - sum(({ answers }) => answers),
  };
}

function sumOf<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((sum, one) => sum + of(one), 0);
}

interface Limits {
  /** No further turn is begun. */
  readonly over: AbortController;
  /** What has not ended by now is stuck. */
  readonly patience: AbortController;
}

/** Turn after turn, until it is over or a turn does not end. */
async function drive(
  client: Anthropic,
  worker: Worker,
  number: number,
  { over, patience }: Limits,
): Promise<void> {
  for (let turn = 1; !over.signal.aborted; turn += 1) {
    const mark = `m${number}-${turn}`;
    worker.begun += 1;
    if (!(await tell(client, worker, mark, patience.signal))) return;
    if (!(await turnEnds(worker, mark, patience.signal))) return;
    worker.finished += 1;
  }
}

/** Sends a message until it is known to be in the log. */
async function tell(
  client: Anthropic,
  { session, acknowledged }: Worker,
  mark: string,
  patience: AbortSignal,
): Promise<boolean> {
  while (!patience.aborted) {
    try {
      await say(client, session, markedTurn(mark));
      acknowledged.push(mark);
      return true;
    } catch (error) {
      if (!isPassing(error)) throw error;
    }
    const listed = await listPatiently(client, session, patience);
    if (listed?.some((event) => isMessage(event, mark))) return true;
  }
  return false;
}

async function listPatiently(
  client: Anthropic,
  session: string,
  patience: AbortSignal,
): Promise<Event[] | undefined> {
  while (!patience.aborted) {
    try {
      return await listAll(client, session);
    } catch (error) {
      if (!isPassing(error)) throw error;
      await pause(AGAIN_AFTER_MS);
    }
  }
  return undefined;
}

async function turnEnds({ following }: Worker, mark: string, patience: AbortSignal): Promise<boolean> {
  while (!patience.aborted) {
    const at = following.seen.findIndex(({ event }) => isMessage(event, mark));
    const isEnd = ({ type }: Event): boolean => type === 'session.status_idle';
    const ended =
      at !== -1 && (await following.until(isEnd, { from: at, withinMs: AGAIN_AFTER_MS })) !== undefined;
    if (ended) return true;
    if (at === -1)
      await following.until((event) => isMessage(event, mark), {
        from: following.seen.length,
        withinMs: AGAIN_AFTER_MS,
      });
  }
  return false;
}

function isMessage(event: Event, mark: string): boolean {
  return event.type === 'user.message' && textsOf(event.content).some((text) => isAbout(text, mark));
}

function textsOf(content: readonly { readonly type: string }[] | undefined): string[] {
  return (content ?? []).flatMap((block) => ('text' in block ? [String(block.text)] : []));
}

/** Kills so many processes; answers how often which. */
async function killAtRandom(
  subject: ServerSubject,
  { sizes, seed, log }: Context,
): Promise<ReadonlyMap<string, number>> {
  const { kills, meanGapMs } = sizes.chaos;
  const random = seededRandom(seed);
  const victims = new Map<string, number>();
  for (let kill = 0; kill < kills;) {
    await pause(2 * random() * meanGapMs);
    const parts = await subject.parts();
    const up = await Promise.all(parts.map((part) => part.isUp()));
    const alive = parts.filter((_, at) => up[at]);
    const part = alive[Math.floor(random() * alive.length)];
    if (!part) continue;
    const isKilled = await part.kill().then(
      () => true,
      () => false,
    );
    // It may have died by itself in between.
    if (!isKilled) continue;
    kill += 1;
    victims.set(part.name, (victims.get(part.name) ?? 0) + 1);
    if (kill % 50 === 0) log(`${kill} kills`);
  }
  return victims;
}

interface Account {
  readonly acknowledged: number;
  readonly doubled: number;
  readonly eventsLost: number;
  readonly eventsTwice: number;
  readonly unknown: number;
  readonly answers: number;
  /** Marks whose command the log says has run. */
  readonly ran: readonly string[];
}

/** What the log has in the end, against what the client knows. */
async function account(client: Anthropic, { session, following, acknowledged }: Worker): Promise<Account> {
  const listed = await listPatiently(client, session, AbortSignal.timeout(LIST_WITHIN_MS));
  if (!listed) throw new Error('the log cannot be read after the kills');
  const ids = new Set(listed.map(({ id }) => id));
  const timesOf = (mark: string): number => listed.filter((event) => isMessage(event, mark)).length;
  const marks = [...new Set(listed.flatMap(marksOf))];
  const results = listed.flatMap((event) =>
    event.type === 'agent.tool_result'
      ? [{ text: textsOf(event.content).join('\n'), isError: event.is_error === true }]
      : [],
  );
  return {
    acknowledged: acknowledged.filter((mark) => timesOf(mark) === 0).length,
    doubled: marks.reduce((sum, mark) => sum + timesOf(mark) - 1, 0),
    eventsLost: following.seen.filter(({ event }) => !ids.has(event.id)).length,
    eventsTwice: listed.length - ids.size,
    unknown: results.filter(({ isError }) => isError).length,
    answers: listed.filter((event) => event.type === 'span.model_request_end' && !event.is_error).length,
    ran: results.flatMap(({ text }) => /ran (?<mark>m\d+-\d+)/.exec(text)?.groups?.['mark'] ?? []),
  };
}

function marksOf(event: Event): string[] {
  if (event.type !== 'user.message') return [];
  return textsOf(event.content).flatMap(
    (text) => /^This is (?<mark>m\d+-\d+)\./.exec(text)?.groups?.['mark'] ?? [],
  );
}
