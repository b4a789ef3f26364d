/**
 * Answers, interrupts and messages that reach a session at the same moment. Whatever wins, what was accepted is in the
 * log once and taken up, what was refused is not there, and the session goes on.
 *
 * The plans follow from a seed, which is printed: `RACES_SEED=1 vitest run test/server/races.test.ts` makes the same
 * ones again. Which request is quicker is up to the machine.
 */
import { beforeAll, expect, it } from 'vitest';
import { APIError } from '@anthropic-ai/sdk';
import { INTERRUPTED } from '../../src/loop.ts';
import { unique } from '../support/client.ts';
import {
  answerTo,
  makePlans,
  refusalOf,
  toEvents,
  type Batch,
  type OpenCall,
  type Plan,
} from '../support/races.ts';
import {
  checkLogs,
  message,
  only,
  script,
  textOf,
  TOOLSET,
  useTestbed,
  type ListedEvent,
  type Live,
  type Of,
  type Params,
} from '../support/turns.ts';

const SESSIONS = 200;
/** As many at once as two cores can take. */
const WAVE = 20;

const seed = Number(process.env['RACES_SEED'] ?? Date.now() % 1_000_000);
process.stderr.write(`races: RACES_SEED=${seed}\n`);
const plans = makePlans(seed, SESSIONS).map((plan, index) => ({ plan, index }));
const waves = Array.from({ length: SESSIONS / WAVE }, (_, at) => ({
  from: at * WAVE,
  to: (at + 1) * WAVE - 1,
  part: plans.slice(at * WAVE, (at + 1) * WAVE),
}));

const bed = useTestbed();
let agent: string;

beforeAll(async () => {
  const made = await bed.agent({
    tools: [
      { ...TOOLSET, configs: [{ name: 'bash', permission_policy: { type: 'always_ask' } }] },
      { type: 'custom', name: 'lookup', description: 'Looks up.', input_schema: { type: 'object' } },
    ],
  });
  agent = made.id;
});

it.each(waves)('sessions $from to $to: come to rest, with all that was accepted', async ({ part }) => {
  const ids = await Promise.all(
    part.map(async ({ plan, index }) => {
      try {
        return await race(plan);
      } catch (error) {
        throw new Error(`RACES_SEED=${seed}, session ${index}: ${JSON.stringify(plan)}`, { cause: error });
      }
    }),
  );
  await checkLogs(ids);
  // A retry of the client would hide one.
  expect(bed.calls.filter(({ status }) => status >= 500)).toEqual([]);
  // Their sandboxes would only be in the way of the next wave.
  await Promise.all(ids.map((id) => bed.client.beta.sessions.archive(id)));
});

/** A session, what of it was accepted, and the calls that were answered to bring it to rest. */
interface Race {
  readonly live: Live;
  readonly accepted: Set<string>;
  readonly closed: Set<string>;
}

async function race(plan: Plan): Promise<string> {
  const live = await bed.live({ agent });
  const one: Race = { live, accepted: new Set(), closed: new Set() };
  const calls = plan.calls.map((kind) =>
    kind === 'custom' ? { call: 'lookup' } : { call: 'bash', input: { command: 'echo it ran' } },
  );
  await accept(one, [message(script({ calls }, { say: 'told: {{results}}' }))]);
  if (!plan.early) await rest(one);

  await Promise.all(plan.moment.map((batch) => attempt(one, batch)));
  await settle(one, plan);
  await Promise.all(plan.late.map((batch) => attempt(one, batch)));
  await settle(one, plan);

  // A turn that was interrupted before the model answered is still in front of the model, so calls may come first.
  const mark = unique('alive');
  await accept(one, [message(script({ say: mark }))]);
  await settle(one, { ...plan, ending: 'answer' });
  const listed = await live.list();
  expect(only(listed, 'agent.message').some((event) => textOf(event).includes(mark))).toBe(true);
  checkList(one, listed);
  live.close();
  return live.id;
}

/** Sends what must be accepted. */
async function accept({ live, accepted }: Race, events: Params[]): Promise<void> {
  const sent = await live.send(...events);
  expect(sent.map(({ type }) => type)).toEqual(events.map(({ type }) => type));
  for (const { id } of sent) accepted.add(id);
}

/** Sends a batch of the plan, which may be refused for the reasons that the documentation has. */
async function attempt(one: Race, batch: Batch): Promise<void> {
  const events = toEvents(batch, callsOf(one.live), () => unique('text'));
  if (events.length === 0) return;
  const refusal = refusalOf(batch);
  try {
    await accept(one, events);
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    const said = error.apiMessage ?? '';
    expect(
      refusal.because.some((pattern) => pattern.test(said)),
      said,
    ).toBe(true);
    return;
  }
  // Without a call there is none of the wrong kind.
  if (events.length === batch.length) expect(refusal.must, JSON.stringify(batch)).toBe(false);
}

/** Closes what waits for the client, until nothing does. A refused call needs no sandbox. */
async function settle(one: Race, { ending }: Plan): Promise<void> {
  for (;;) {
    const { stop_reason: stop } = await rest(one);
    if (stop.type !== 'requires_action') return;
    const open = callsOf(one.live).filter(({ id }) => stop.event_ids.includes(id));
    for (const { id } of open) one.closed.add(id);
    await accept(
      one,
      ending === 'interrupt'
        ? [{ type: 'user.interrupt' }]
        : open.map((call) => answerTo(call, unique('text'), true)),
    );
  }
}

/** Waits until the session waits for a call that is not closed yet, or rests with everything taken up. */
async function rest({ live, accepted, closed }: Race): Promise<Of<'session.status_idle'>> {
  return await live.until('the session to rest', (events) => {
    const status = events.findLast(({ type }) => type.startsWith('session.status_'));
    if (status?.type !== 'session.status_idle') return undefined;
    const stop = status.stop_reason;
    if (stop.type === 'requires_action') return stop.event_ids.some((id) => !closed.has(id)) && status;
    const taken = new Set(events.flatMap((event) => ('id' in event && isTaken(event) ? [event.id] : [])));
    return [...accepted].every((id) => taken.has(id)) && status;
  });
}

/** The calls of the last answer that made any. */
function callsOf({ events }: Live): OpenCall[] {
  const end = events.findLastIndex(
    ({ type }) => type === 'agent.tool_use' || type === 'agent.custom_tool_use',
  );
  const start = events.slice(0, end + 1).findLastIndex(({ type }) => type === 'span.model_request_start');
  return events.slice(Math.max(0, start), end + 1).flatMap((event): OpenCall[] => {
    if (event.type === 'agent.tool_use') return [{ id: event.id, kind: 'ask' }];
    return event.type === 'agent.custom_tool_use' ? [{ id: event.id, kind: 'custom' }] : [];
  });
}

function checkList({ live, accepted }: Race, listed: readonly ListedEvent[]): void {
  const ids = listed.map(({ id }) => id);
  expect(ids).toEqual([...new Set(ids)]);
  expect(listed.filter((event) => !isTaken(event))).toEqual([]);
  const fromClient = listed.filter(({ type }) => type.startsWith('user.')).map(({ id }) => id);
  expect(fromClient.toSorted()).toEqual([...accepted].toSorted());
  expect(live.events.filter(isTaken)).toEqual(listed);
  for (const use of only(listed, 'agent.custom_tool_use')) firstResultCounts(listed, use.id);
  for (const use of only(listed, 'agent.tool_use')) firstConfirmationCounts(listed, use.id);
}

function isTaken(event: object): boolean {
  return 'processed_at' in event && event.processed_at !== null && event.processed_at !== undefined;
}

/** A call that the client has answered is not closed by an interrupt; the answer may come after that, though. */
function firstResultCounts(listed: readonly ListedEvent[], id: string): void {
  const answers = listed.filter(
    (event) => event.type === 'user.custom_tool_result' && event.custom_tool_use_id === id,
  );
  const closing = only(listed, 'agent.tool_result').filter(({ tool_use_id }) => tool_use_id === id);
  for (const event of closing) {
    expect(textOf(event)).toBe(INTERRUPTED);
    const [first] = answers;
    if (first) expect(listed.indexOf(event)).toBeLessThan(listed.indexOf(first));
  }
}

/** The first confirmation decides whether the call runs, unless an interrupt came before that. */
function firstConfirmationCounts(listed: readonly ListedEvent[], id: string): void {
  const [first] = only(listed, 'user.tool_confirmation').filter(({ tool_use_id }) => tool_use_id === id);
  const results = only(listed, 'agent.tool_result').filter(({ tool_use_id }) => tool_use_id === id);
  expect(results).toHaveLength(1);
  const text = textOf(results[0]);
  if (text === INTERRUPTED) return;
  if (first?.result === 'deny') {
    expect(text).toBe(`The user denied permission to run this tool: ${first.deny_message}`);
  } else {
    expect([first?.result, text]).toEqual(['allow', 'it ran']);
  }
}
