/** Plays a conversation on a server, and brings back everything that can be read of it. */
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sandboxPid } from '../../scripts/sandboxes.ts';
import type { Entry } from '../../src/log.ts';
import { killQuietly } from '../support/crash-server.ts';
import type { Awaited, Conversation, Scene, Sent, Settling, Step } from './conversation.ts';
import { openCalls, restOf, type OpenCall } from './rest.ts';
import type { Answer, Side } from './side.ts';
import { watch, type Placed, type Watch } from './watch.ts';

/** What was done, and what came of it. */
export interface Outcome {
  readonly scene: string;
  readonly step: string;
  readonly answer: unknown;
}

/** Everything that can be read of a conversation. */
export interface Transcript {
  readonly entries: readonly Entry[];
  readonly outcomes: readonly Outcome[];
  /** What the model was asked, oldest first. */
  readonly requests: readonly unknown[];
  readonly streamed: readonly Placed[];
  readonly slice: readonly Placed[];
  readonly listed: readonly unknown[];
  readonly hits: Readonly<Record<'worker' | 'api' | 'hand', number>>;
}

/** Kills a process that others need, too: resolves when it has been killed. */
export type Strike = (victim: 'worker' | 'api') => Promise<void>;

const PATIENCE_MS = 120_000;
const POLL_MS = 20;
/** Previews are best effort: where one is missing, the harness has surely read so far by then. */
const PREVIEW_WITHIN_MS = 3000;
const MOST_ROUNDS = 20;
/** A failure whose pause nobody waits for, as it stands in a step's JSON. */
const LONG_PAUSE = String.raw`\"retryAfter\":600`;
/** The end of an id that nobody has. */
const UNKNOWN = '01AAAAAAAAAAAAAAAAAAAAAA';

interface Play {
  readonly conversation: Conversation;
  readonly side: Side;
  readonly strike: Strike;
  readonly id: string;
  readonly watched: Watch;
  readonly outcomes: Outcome[];
  readonly queued: Set<string>;
  readonly answered: Set<string>;
  readonly hits: { worker: number; api: number; hand: number };
  /** What scenes were to see to that came to rest before. With more budget it comes about later. */
  readonly left: { readonly gates: Set<string>; isPause: boolean };
  from: number;
  scene: string;
  /** Where the stream and the model's requests stood when the scene began. */
  sceneAt: number;
  judgedBefore: number;
}

/** Plays it to its end. */
export async function play(conversation: Conversation, side: Side, strike: Strike): Promise<Transcript> {
  const id = await begin(conversation, side);
  const watched = await watch(side, id);
  const one: Play = {
    conversation,
    side,
    strike,
    id,
    watched,
    outcomes: [],
    queued: new Set(),
    answered: new Set(),
    hits: { worker: 0, api: 0, hand: 0 },
    left: { gates: new Set(), isPause: false },
    from: 0,
    scene: 'the beginning',
    sceneAt: 0,
    judgedBefore: 0,
  };
  try {
    // The first message is in the log by then; it must be taken up like any other.
    if (conversation.initial) await until(one, 'the first message', () => one.watched.events.length > 0);
    for (const { event } of watched.events) if (event.type === 'user.message') one.queued.add(event.id);
    if (conversation.initial) await until(one, 'the first rest', () => isResting(one));
    for (const scene of conversation.scenes) await playScene(one, scene);
    return await collect(one);
  } finally {
    await watched.close();
  }
}

async function begin({ agent, budgetCents, initial, mark }: Conversation, side: Side): Promise<string> {
  const made = await must(side.request('POST', '/v1/agents', agent));
  const environment = await must(side.request('POST', '/v1/environments', { name: mark }));
  const session = await must(
    side.request('POST', '/v1/sessions', {
      agent: made,
      environment_id: environment,
      title: mark,
      ...(budgetCents === null ? {} : { budget: budgetOf(budgetCents) }),
      ...(initial ? { initial_events: [{ type: 'user.message', content: initial }] } : {}),
    }),
  );
  return session;
}

async function must(answering: Promise<Answer>): Promise<string> {
  const { status, body } = await answering;
  if (status !== 200) throw new Error(`answered ${status}: ${JSON.stringify(body)}`);
  return (body as { id: string }).id;
}

async function playScene(one: Play, { name, steps }: Scene): Promise<void> {
  one.scene = name;
  one.sceneAt = one.watched.events.length;
  one.judgedBefore = judgeRequests(one);
  try {
    for (const step of steps) {
      if (await take(one, step)) continue;
      leaveBehind(one, steps);
      break;
    }
  } finally {
    // What was never come to must not hold up a later scene.
    for (const step of steps)
      if (step.do === 'await' && step.for === 'hold') one.side.model.holds.release(step.hold);
  }
  if (steps.some((step) => step.do === 'kill')) {
    await one.side.recovered('worker');
    await one.side.recovered('api');
  }
  await until(one, `the end of the scene "${name}"`, () => isResting(one) || isOver(one));
  note(one, { do: 'read the session' }, await one.side.request('GET', `/v1/sessions/${one.id}`));
}

/** Takes a step. False: the session came to rest before what was waited for, and the scene is over. */
async function take(one: Play, step: Step): Promise<boolean> {
  const { side, id } = one;
  const session = `/v1/sessions/${id}`;
  switch (step.do) {
    case 'send':
      await sendEvents(one, step.events);
      return true;
    case 'update': {
      const isAtRest = isResting(one);
      const answer = await side.request('POST', session, step.body);
      note(one, step, isAtRest ? answer : statusOnly(answer));
      return true;
    }
    case 'raise':
      await raise(one, step.byCents);
      return true;
    case 'compact': {
      const body = step.keepAnswers === undefined ? {} : { keep_answers: step.keepAnswers };
      note(one, step, await side.request('POST', `/v1/x/sessions/${id}/compact`, body));
      return true;
    }
    case 'archive':
      note(one, step, await side.request('POST', `${session}/archive`));
      return true;
    case 'delete':
      note(one, step, await side.request('DELETE', session));
      return true;
    case 'await':
      return await awaited(one, step);
    case 'open':
      await openGate(one, step.file);
      return true;
    case 'release':
      side.model.holds.release(step.hold);
      return true;
    case 'settle':
      await settle(one, step.calls, step.cap);
      return true;
    case 'kill':
      await kill(one, step.victim);
      return true;
    case 'recover':
      await side.recovered(step.victim);
      return true;
  }
}

/**
 * What of an accepted update is the same everywhere while a session works: a busy engine may answer before it can show
 * the change, and what the session does goes on.
 */
function statusOnly({ status, body }: Answer): object {
  return status === 200 ? { status } : { status, body };
}

function note(one: Play, step: object, answer: unknown): void {
  one.outcomes.push({ scene: one.scene, step: JSON.stringify(step), answer });
}

async function sendEvents(one: Play, sent: readonly Sent[]): Promise<void> {
  const calls = openCalls(one.watched.events);
  const events = sent.flatMap((event) => toParams(event, calls));
  const step = { do: 'send', events: sent };
  if (events.length === 0) return note(one, step, 'there is no such call');
  const answer = await one.side.request('POST', `/v1/sessions/${one.id}/events`, { events });
  note(one, step, answer);
  if (answer.status !== 200) return;
  const { data } = answer.body as { data: (Record<string, unknown> & { id: string })[] };
  for (const { id, type, processed_at, tool_use_id, custom_tool_use_id } of data) {
    // What has its time already is not queued.
    if (processed_at === null && type !== 'user.custom_tool_result') one.queued.add(id);
    for (const answered of [tool_use_id, custom_tool_use_id])
      if (typeof answered === 'string') one.answered.add(answered);
  }
  if (sent.some(({ type }) => type === 'interrupt')) for (const { id } of calls) one.answered.add(id);
}

function toParams(event: Sent, calls: readonly OpenCall[]): object[] {
  const idOf = (call: number): string | undefined => (call === -1 ? `sevt_${UNKNOWN}` : calls[call]?.id);
  switch (event.type) {
    case 'message':
      return [{ type: 'user.message', content: event.content }];
    case 'system':
      return [{ type: 'system.message', content: [{ type: 'text', text: event.text }] }];
    case 'interrupt':
      return [{ type: 'user.interrupt', ...(event.thread ? { session_thread_id: `sthr_${UNKNOWN}` } : {}) }];
    case 'confirm': {
      const id = idOf(event.call);
      if (id === undefined) return [];
      const base = { type: 'user.tool_confirmation', tool_use_id: id };
      if (event.deny === undefined) return [{ ...base, result: 'allow' }];
      return [{ ...base, result: 'deny', ...(event.deny === '' ? {} : { deny_message: event.deny }) }];
    }
    case 'result': {
      const id = idOf(event.call);
      const { content, isError } = event;
      const error = isError ? { is_error: true } : {};
      return id === undefined
        ? []
        : [{ type: 'user.custom_tool_result', custom_tool_use_id: id, content, ...error }];
    }
  }
}

function isResting(one: Play): boolean {
  return restOf(one.watched.events, one) !== undefined || (one.queued.size === 0 && !hasStatus(one));
}

/** A session that nothing was ever sent to has no status in its log. */
function hasStatus({ watched }: Play): boolean {
  return watched.events.some(({ event }) => event.type.startsWith('session.status_'));
}

function isOver({ watched }: Play): boolean {
  return watched.events.at(-1)?.event.type === 'session.status_terminated';
}

/** Waits; a stream that is broken for good, or two minutes, end it. */
async function until(one: Play, what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await check())) {
    if (one.watched.fault) throw one.watched.fault;
    if (Date.now() > deadline) {
      const types = one.watched.events.slice(-12).map(({ event }) => event.type);
      throw new Error(`${one.id}: not within ${PATIENCE_MS} ms: ${what}; last came ${types.join(', ')}`);
    }
    await sleep(POLL_MS);
  }
}

async function awaited(one: Play, step: Awaited): Promise<boolean> {
  if (step.for === 'rest') {
    await until(one, 'rest', () => isResting(one) || isOver(one));
    return true;
  }
  let has = false;
  await until(one, JSON.stringify(step), async () => {
    has = await isThere(one, step);
    return has || isResting(one);
  });
  if (!has) note(one, step, 'the session came to rest before');
  return has;
}

const reachedAtMs = new WeakMap<Play, Map<string, number>>();

async function isThere(one: Play, step: Exclude<Awaited, { for: 'rest' }>): Promise<boolean> {
  switch (step.for) {
    case 'hold':
      return isHeld(one, step);
    case 'file': {
      // The stream may be slower than the command, and what is sent next is about calls that it shows.
      if (!hasShown(one, step.file)) return false;
      const folders = await one.side.handFolders(one.id);
      const found = await Promise.all(folders.map((folder) => exists(join(folder, 'workspace', step.file))));
      return found.includes(true);
    }
    case 'events': {
      const fresh = one.watched.events.slice(one.sceneAt);
      return fresh.filter(({ event }) => event.type === step.type).length >= step.count;
    }
    case 'judge':
      return judgeRequests(one) > one.judgedBefore;
  }
}

/** Whether the stream has shown the answer whose call makes this file, to its end. */
function hasShown({ watched }: Play, file: string): boolean {
  const at = watched.events.findLastIndex(
    ({ event }) => event.type === 'agent.tool_use' && JSON.stringify(event.input).includes(file),
  );
  return at >= 0 && watched.events.slice(at).some(({ event }) => event.type === 'span.model_request_end');
}

function isHeld(one: Play, { hold, said }: Extract<Awaited, { for: 'hold' }>): boolean {
  if (!one.side.model.holds.isReached(hold)) return false;
  if (one.watched.previewed(said)) return true;
  const times = reachedAtMs.get(one) ?? new Map<string, number>();
  reachedAtMs.set(one, times);
  const since = times.get(hold) ?? Date.now();
  times.set(hold, since);
  return Date.now() - since > PREVIEW_WITHIN_MS;
}

function judgeRequests({ side, conversation }: Play): number {
  return side.model.requests(conversation.mark).filter(({ body }) => {
    const { tools = [] } = body as { tools?: readonly { name: string }[] };
    return tools.some(({ name }) => name === 'judge_calls');
  }).length;
}

async function openGate(one: Play, file: string): Promise<void> {
  const folders = await one.side.handFolders(one.id);
  if (folders.length === 0) throw new Error(`${one.id} has no sandbox in which to make ${file}`);
  for (const folder of folders) await writeFile(join(folder, 'workspace', file), '');
}

function leaveBehind({ left }: Play, steps: readonly Step[]): void {
  for (const step of steps) if (step.do === 'await' && step.for === 'file') left.gates.add(step.file);
  left.isPause ||= JSON.stringify(steps).includes(LONG_PAUSE);
}

/** Ends what has begun after its scene was over, and would go on longer than anybody waits. */
async function endWhatWasLeft(one: Play): Promise<void> {
  const { left, watched } = one;
  for (const file of left.gates)
    if (await isThere(one, { for: 'file', file })) {
      await openGate(one, file.replace(/\.started$/, '.open'));
      left.gates.delete(file);
    }
  if (!left.isPause || watched.events.at(-1)?.event.type !== 'session.thread_status_rescheduled') return;
  left.isPause = false;
  await sendEvents(one, [{ type: 'interrupt' }]);
}

async function kill(one: Play, victim: 'worker' | 'api' | 'hand'): Promise<void> {
  one.hits[victim] += 1;
  if (victim !== 'hand') return await one.strike(victim);
  const pids = await Promise.all((await one.side.handFolders(one.id)).map(sandboxPid));
  // A scene whose call was refused has no hand.
  if (pids.length === 0) note(one, { do: 'kill', victim }, 'there is no hand');
  for (const pid of pids) if (pid !== undefined) killQuietly(pid);
}

async function raise(one: Play, byCents: number | null): Promise<void> {
  const rest = restOf(one.watched.events, one);
  const usage = one.watched.events.findLast(({ event }) => event.type === 'session.usage')?.event;
  const spent = usage?.type === 'session.usage' ? Number(usage.usage.list_cost?.amount ?? 0) : 0;
  const budget = byCents === null ? null : budgetOf(Math.max(1, spent + byCents));
  const answer = await one.side.request('POST', `/v1/sessions/${one.id}`, { budget });
  note(one, { do: 'raise', byCents }, statusOnly(answer));
  const { budget: now } = answer.body as { budget?: unknown };
  const isRaised = answer.status === 200 && rest?.stop_reason.type === 'budget_reached';
  // It goes on by itself, with what it was about to do.
  if (isRaised && JSON.stringify(now) === JSON.stringify(budget)) one.from = one.watched.events.length;
}

function budgetOf(cents: number): object {
  return { type: 'limit', max_list_cost: { amount: String(cents), currency: 'USD' } };
}

/** Closes what waits for the client, until nothing does. */
async function settle(one: Play, calls: Settling, cap: number | null): Promise<void> {
  for (let rounds = 0; rounds < MOST_ROUNDS; rounds += 1) {
    await until(one, 'rest', async () => {
      await endWhatWasLeft(one);
      return isResting(one) || isOver(one);
    });
    const stop = restOf(one.watched.events, one)?.stop_reason;
    if (stop?.type === 'budget_reached') {
      await raise(one, rounds < 3 ? cap : null);
    } else if (stop?.type === 'requires_action') {
      const open = openCalls(one.watched.events);
      // One by one: calls that are consented to together run side by side.
      const at = open.findIndex(({ id }) => stop.event_ids.includes(id) && !one.answered.has(id));
      const call = open[at];
      if (!call) throw new Error(`${one.id} waits for calls that nobody made`);
      await sendEvents(one, [calls === 'interrupt' ? { type: 'interrupt' } : closing(call, at, calls)]);
    } else return;
  }
  throw new Error(`${one.id} does not come to rest`);
}

function closing({ kind }: OpenCall, call: number, by: Settling): Sent {
  if (kind === 'custom') return { type: 'result', call, content: [] };
  return by === 'deny' ? { type: 'confirm', call, deny: 'settled' } : { type: 'confirm', call };
}

async function collect(one: Play): Promise<Transcript> {
  const { side, id, watched, outcomes, conversation, hits } = one;
  const entries = await side.readLog(id);
  const slice = await readSlice(side, id);
  const listed = (await must200(side.request('GET', `/v1/sessions/${id}/events?limit=1000`))) as {
    data: unknown[];
  };
  await until(one, 'the stream to have everything', () => watched.events.length >= slice.length);
  const requests = side.model.takeRequests(conversation.mark).map(({ path, status, error, body }) => {
    return { path, status, error, body };
  });
  return { entries, outcomes, requests, streamed: watched.events, slice, listed: listed.data, hits };
}

async function readSlice(side: Side, id: string): Promise<Placed[]> {
  const all: Placed[] = [];
  for (let from: number | null = 0; from !== null;) {
    const path = `/v1/x/sessions/${id}/events?from=${from}`;
    const page = (await must200(side.request('GET', path))) as { data: Placed[]; next: number | null };
    all.push(...page.data);
    from = page.next;
  }
  return all;
}

async function must200(answering: Promise<Answer>): Promise<unknown> {
  const { status, body } = await answering;
  if (status !== 200) throw new Error(`answered ${status}: ${JSON.stringify(body)}`);
  return body;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
