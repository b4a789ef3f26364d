/**
 * A scripted life of a session on the log engine, in which something befalls the harness at each of its calls of the
 * store in turn, before the call has an effect and after. What is in the log in the end is always the same.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { newId } from '../../src/id.ts';
import type { Draft } from '../../src/log.ts';
import { foldView } from '../../src/view.ts';
import type { EventBody } from '../../src/wire/event.ts';
import { said } from '../support/conversation.ts';
import { checkLog } from '../support/invariants.ts';
import { createLogWorld, type Harness, type LogWorld, type Ongoing } from '../support/log-world.ts';
import type { Side } from '../support/mortal-store.ts';
import { answer, toolResult } from '../support/simulation.ts';

/** `die`: its process ends. `fail`: the call throws. `stop`: it is told to end in order. */
type Blow = 'die' | 'fail' | 'stop';

interface Fate {
  readonly blow: Blow;
  readonly side: Side;
  readonly count: number;
}

/** What became of a life. */
interface Outcome {
  readonly types: readonly string[];
  /** How many calls of the store there were. */
  readonly calls: number;
  /** The attempts of all operations, in order. */
  readonly attempts: readonly Ongoing[];
  readonly released: readonly string[];
}

const AT_ONCE = 16;
const WITHIN_MS = 15_000;
/** The request that the user interrupts. */
const INTERRUPTED_REQUEST = 5;

const ids = { id: (prefix = 'sevt') => newId(prefix as 'sevt') };
const RUNNING = ['session.status_running', 'session.thread_status_running'];
const IDLE = ['session.thread_status_idle', 'session.usage', 'session.status_idle'];
const [START, END] = ['span.model_request_start', 'span.model_request_end'];

const EXPECTED = [
  'x.session_created',
  'user.message',
  ...RUNNING,
  'user.message',
  START,
  'agent.tool_use',
  'agent.tool_use',
  END,
  'x.hand_provisioned',
  'agent.tool_result',
  'agent.tool_result',
  START,
  END,
  'session.error',
  'session.status_rescheduled',
  'session.thread_status_rescheduled',
  ...RUNNING,
  START,
  'agent.custom_tool_use',
  END,
  ...IDLE,
  'user.custom_tool_result',
  ...RUNNING,
  START,
  'agent.message',
  END,
  ...IDLE,
  'user.message',
  ...RUNNING,
  'user.message',
  START,
  'user.interrupt',
  END,
  'user.interrupt',
  ...IDLE,
  'session.thread_status_terminated',
  'session.status_terminated',
];

/** Lives a life; another harness takes over from one that is gone. */
async function live(fate?: Fate): Promise<Outcome> {
  const world = await createLogWorld('sqlite');
  try {
    return await createStory(world, fate);
  } finally {
    await world.close();
  }
}

async function createStory(world: LogWorld, fate: Fate | undefined): Promise<Outcome> {
  const { sessions } = world.api;
  const attempts: Ongoing[] = [];
  const handled = new Set<Ongoing>();
  const id = await world.createSession();
  const view = async () => foldView(undefined, await sessions.getEvents(id));

  async function results(one: Ongoing): Promise<readonly Draft[] | undefined> {
    const { kind } = one.operation;
    if (kind === 'provision')
      return [{ event: { id: ids.id(), type: 'x.hand_provisioned', hand: { id: 'hand', kind: 'test' } } }];
    if (kind === 'tool') return toolResult(ids, one);
    const entries = await sessions.getEvents(id, { throughId: one.spanId });
    const request = entries.filter(({ event }) => event.type === START).length;
    return modelResults(one, request);
  }

  /** Has operations end until something is so. */
  async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    for (const deadline = Date.now() + WITHIN_MS; !(await isSo());) {
      if (Date.now() > deadline) throw new Error(`not within ${WITHIN_MS} ms: ${what}`);
      for (const one of world.ongoing) {
        if (one.sessionId !== id || handled.has(one)) continue;
        const drafts = await results(one);
        if (drafts === undefined) continue;
        handled.add(one);
        one.resolve(drafts);
      }
      await sleep(2);
    }
  }
  const atRest = (idles: number) => async () => {
    const entries = await sessions.getEvents(id);
    const isOver = entries.filter(({ event }) => event.type === 'session.status_idle').length === idles;
    return isOver && (await world.store.head(id))?.due === false;
  };

  const harness = await startBusy(world, attempts, id);
  if (fate)
    befall(world, harness, fate, async () => void (await world.startHarness((one) => attempts.push(one))));
  const before = harness.mortal.calls.length;

  await sessions.emitEvent(id, [said(ids.id(), 'hello')]);
  await until('the session to wait for the client', atRest(1));
  const [call] = (await view()).loop.waitingOn;
  await sessions.emitEvent(id, [
    clients({ type: 'user.custom_tool_result', custom_tool_use_id: call ?? '' }),
  ]);
  await until('the end of the turn', atRest(2));
  await sessions.emitEvent(id, [said(ids.id(), 'more')]);
  const isAsked = (one: Ongoing): boolean => one.sessionId === id && one.operation.kind === 'model';
  await until('the last request', () => world.ongoing.some((one) => isAsked(one) && !handled.has(one)));
  await sessions.emitEvent(id, [clients({ type: 'user.interrupt' })]);
  await until('the interrupt', atRest(3));
  const { agentName, threadId } = (await view()).loop;
  await sessions.emitEvent(id, [
    clients({
      type: 'session.thread_status_terminated',
      agent_name: agentName,
      session_thread_id: threadId,
    }),
    clients({ type: 'session.status_terminated' }),
  ]);
  await until('the end of the session', async () => {
    const head = await world.store.head(id);
    return head?.due === false && head.holder === null;
  });

  const entries = await sessions.getEvents(id);
  checkLog(entries, true);
  return {
    types: entries.map(({ event }) => event.type),
    calls: harness.mortal.calls.length - before,
    attempts: attempts.filter((one) => one.sessionId === id),
    released: world.released,
  };
}

/** A harness that has another session under way all the time, so that it goes on saying that it lives. */
async function startBusy(world: LogWorld, attempts: Ongoing[], except: string): Promise<Harness> {
  const other = await world.createSession();
  await world.api.sessions.emitEvent(other, [said(ids.id(), 'hello')]);
  const harness = await world.startHarness((one) => attempts.push(one));
  for (const deadline = Date.now() + WITHIN_MS; world.ongoing.length === 0;) {
    if (Date.now() > deadline) throw new Error(`nobody works on ${other}, beside ${except}`);
    await sleep(2);
  }
  return harness;
}

function befall(world: LogWorld, harness: Harness, fate: Fate, next: () => Promise<void>): void {
  const { mortal } = harness;
  const { count, side } = fate;
  const stopAndGoOn = async (): Promise<void> => {
    await harness.stop();
    await next();
  };
  const goOnAfterDeath = async (): Promise<void> => {
    await mortal.died;
    await next();
    await world.silence(harness);
  };
  switch (fate.blow) {
    case 'die':
      mortal.at(count, side, 'die');
      void goOnAfterDeath();
      break;
    case 'fail':
      mortal.at(count, side, 'fail');
      break;
    case 'stop':
      mortal.at(count, side, () => void stopAndGoOn());
      break;
  }
}

/** How the nth request of the model ends; undefined: not yet. */
function modelResults({ spanId, cancelled }: Ongoing, request: number): readonly Draft[] | undefined {
  const failure = { kind: 'model_overloaded_error', message: 'busy', retryable: true } as const;
  if (request === INTERRUPTED_REQUEST && !cancelled) return undefined;
  if (cancelled) return answer(ids, spanId, { outcome: { stop: 'interrupted' } });
  switch (request) {
    case 1:
      return answer(ids, spanId, { tools: ['bash', 'bash'], outcome: { stop: 'tool_use' } });
    case 2:
      return answer(ids, spanId, { outcome: { stop: 'failed', failure } });
    case 3:
      return answer(ids, spanId, { custom: ['ask'], outcome: { stop: 'tool_use' } });
    default:
      return answer(ids, spanId, { text: 'done', outcome: { stop: 'end_turn' } });
  }
}

type Unnamed<T> = T extends { id: string } ? Omit<T, 'id'> : never;

function clients(body: Unnamed<EventBody>): Draft {
  return { event: { id: ids.id(), ...body } };
}

let calls: number;

beforeAll(async () => {
  ({ calls } = await live());
}, 30_000);

test('a harness that nothing befalls tries everything once', async () => {
  const { types, attempts, released } = await live();
  expect(types).toEqual(EXPECTED);
  expect(attempts.map(({ number }) => number)).toEqual(attempts.map(() => 1));
  expect(released).toEqual(['hand']);
});

describe.each<Blow>(['die', 'fail', 'stop'])('a harness that is to %s', (blow) => {
  test.each<Side>(['before', 'after'])(
    '%s any of its calls changes nothing',
    { timeout: 120_000 },
    async (side) => {
      expect(calls).toBeGreaterThan(20);
      const fates = Array.from({ length: calls }, (_, index): Fate => ({ blow, side, count: index + 1 }));
      const wrong: unknown[] = [];
      const lives = async (): Promise<void> => {
        for (let fate = fates.shift(); fate; fate = fates.shift()) {
          try {
            checkOutcome(blow, await live(fate));
          } catch (error) {
            wrong.push({ fate, error: String(error) });
          }
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, lives));
      expect(wrong).toEqual([]);
    },
  );
});

function checkOutcome(blow: Blow, { types, attempts, released }: Outcome): void {
  expect(types).toEqual(EXPECTED);
  expect(new Set(released)).toEqual(new Set(['hand']));
  // Whoever makes the hand: it is the same one.
  const provisionings = attempts.flatMap(({ provisioning }) => provisioning ?? []);
  expect(new Set(provisionings)).toEqual(new Set(['h0']));
  const most = blow === 'fail' ? 1 : 2;
  expect(Math.max(...attempts.map(({ number }) => number))).toBeLessThanOrEqual(most);
}
