import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { HandRef } from '../../src/hands.ts';
import type { IdleOptions } from '../../src/hands/idle.ts';
import type { HandRecord, ListableHands } from '../../src/hands/reap.ts';
import type { Draft } from '../../src/log.ts';
import { SessionGoneError, type Sessions, type SessionView } from '../../src/session.ts';
import { createSuspender, startSuspender } from '../../src/suspender.ts';
import { foldView } from '../../src/view.ts';
import type { StopReason } from '../../src/wire/event.ts';
import { created, entriesOf, said, type Carrier } from '../support/conversation.ts';
import { eventually } from '../support/eventually.ts';
import { policyOf } from '../support/policy.ts';

const IDLE_MS = 900_000;
/** The test's logs are from the first seconds of 1970. */
const LATER_MS = 1_000_000;
const never = new AbortController().signal;

const server = (...drafts: Draft[]): Carrier => ({ drafts, author: 'server' });
const client = (...drafts: Draft[]): Carrier => ({ drafts, author: 'client' });
const running = server({ event: { id: 'running', type: 'session.status_running' } });
const idle = (reason: StopReason): Carrier =>
  server({ event: { id: 'idle', type: 'session.status_idle', stop_reason: reason, stop_details: null } });
const call: Draft = {
  event: {
    id: 'call',
    type: 'agent.tool_use',
    name: 'bash',
    input: {},
    evaluated_permission: 'ask',
  },
};
const callEnd = server({ event: { id: 'start', type: 'span.model_request_start' } }, call, {
  event: {
    id: 'end',
    type: 'span.model_request_end',
    model_request_start_id: 'start',
    is_error: false,
    model_usage: {
      input_tokens: 1,
      output_tokens: 1,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 0,
    },
  },
  extra: { outcome: { stop: 'tool_use' } },
});
/** A budget that is spent before anything happens. */
const broke = client({
  event: {
    id: 'budget',
    type: 'session.updated',
    budget: { type: 'limit', max_list_cost: { amount: '0', currency: 'USD' } },
  },
});
const waiting = [running, callEnd, idle({ type: 'requires_action', event_ids: ['call'] })];
const rested = [running, idle({ type: 'end_turn' })];

/** What a log says whose last status change was at this time. */
function viewOf(carriers: readonly Carrier[], changedAtMs = 0): SessionView {
  const view = foldView(undefined, entriesOf([server(created()), ...carriers]));
  return { ...view, updatedAt: new Date(changedAtMs).toISOString() };
}

interface World {
  readonly deps: Parameters<typeof createSuspender>[0];
  /** The hands that were asked to be suspended, with what was asked. */
  readonly asked: { readonly id: string; readonly quietMs: number }[];
  /** The sessions that were looked up. */
  readonly read: string[];
  readonly said: string[];
  readonly warnings: string[];
}

/** Running hands, one a session. `busy`: those whose runner refuses; `broken`: those that cannot be asked. */
function createWorld(
  views: Readonly<Record<string, SessionView | undefined>>,
  { busy = [], broken = [] }: { busy?: string[]; broken?: string[] } = {},
): World {
  const [asked, read, said, warnings]: [World['asked'], string[], string[], string[]] = [[], [], [], []];
  const suspended = new Set<string>();
  const records = Object.keys(views).map((id): HandRecord => ({
    hand: { id, kind: 'fake' },
    key: `${id}-1`,
  }));
  const hands: Partial<ListableHands> = {
    listRunning: async () => records.filter(({ hand }) => !suspended.has(hand.id)),
    async suspendIdle({ id }: HandRef, { quietMs }: IdleOptions) {
      asked.push({ id, quietMs });
      if (broken.includes(id)) throw new Error('cannot be reached');
      if (busy.includes(id)) return false;
      suspended.add(id);
      return true;
    },
  };
  const sessions: Partial<Sessions> = {
    async getSession(id) {
      read.push(id);
      const view = views[id];
      if (!view) throw new SessionGoneError(id);
      return view;
    },
  };
  const log = {
    info: (message: string) => void said.push(message),
    warn: (message: string) => void warnings.push(message),
    error: () => undefined,
  };
  const deps = { hands: hands as ListableHands, sessions: sessions as Sessions, log, idleMs: IDLE_MS };
  return { deps, asked, read, said, warnings };
}

const idsOf = ({ asked }: World): string[] => asked.map(({ id }) => id);

describe('a round', () => {
  test('suspends the hands of sessions that have been at rest for long, whatever they wait for', async () => {
    const world = createWorld({
      ended: viewOf(rested),
      confirmation: viewOf(waiting),
      broke: viewOf([broke, running, idle({ type: 'budget_reached' })]),
      gaveUp: viewOf([running, idle({ type: 'retries_exhausted' })]),
      fresh: viewOf(rested, LATER_MS - IDLE_MS + 1),
    });
    await createSuspender(world.deps).suspendIdle(LATER_MS, never);
    expect(idsOf(world)).toEqual(['ended', 'confirmation', 'broke', 'gaveUp']);
    expect(world.asked[0]?.quietMs).toBe(IDLE_MS);
    expect(world.said).toEqual(Array.from({ length: 4 }, () => 'suspended an idle hand'));
    expect(world.warnings).toEqual([]);
  });

  test('leaves those alone that work, are about to, are over or gone', async () => {
    const allowed: Draft = {
      event: { id: 'yes', type: 'user.tool_confirmation', tool_use_id: 'call', result: 'allow' },
    };
    const world = createWorld({
      working: viewOf([running]),
      messaged: viewOf([...rested, client(said('m', 'hi'))]),
      confirmed: viewOf([...waiting, client(allowed)]),
      over: viewOf([...rested, client({ event: { id: 't', type: 'session.status_terminated' } })]),
      gone: undefined,
    });
    await createSuspender(world.deps).suspendIdle(LATER_MS, never);
    expect(idsOf(world)).toEqual([]);
    expect(world.read).toHaveLength(5);
    expect(world.warnings).toEqual([]);
  });

  test('knows a session at rest whose hand was made ahead of time', async () => {
    const eager = foldView(
      undefined,
      entriesOf([server(created(undefined, policyOf({ provision: 'eager' }))), ...rested]),
    );
    const world = createWorld({ eager });
    await createSuspender(world.deps).suspendIdle(LATER_MS, never);
    expect(idsOf(world)).toEqual(['eager']);
  });

  test('reads a session again only when its hand can be due', async () => {
    const world = createWorld({ working: viewOf([running]), fresh: viewOf(rested, LATER_MS - 1000) });
    const suspender = createSuspender(world.deps);
    for (const ms of [0, 1000, IDLE_MS - 1001]) await suspender.suspendIdle(LATER_MS + ms, never);
    expect(world.read).toEqual(['working', 'fresh']);
    await suspender.suspendIdle(LATER_MS + IDLE_MS - 1000, never);
    expect(world.read).toEqual(['working', 'fresh', 'fresh']);
    expect(idsOf(world)).toEqual(['fresh']);
    await suspender.suspendIdle(LATER_MS + IDLE_MS, never);
    expect(world.read).toEqual(['working', 'fresh', 'fresh', 'working']);
  });

  test('is quiet about a hand that refuses, and asks it again much later', async () => {
    const world = createWorld({ a: viewOf(rested) }, { busy: ['a'] });
    const suspender = createSuspender(world.deps);
    for (const ms of [0, IDLE_MS - 1, IDLE_MS]) await suspender.suspendIdle(LATER_MS + ms, never);
    expect(idsOf(world)).toEqual(['a', 'a']);
    expect([...world.said, ...world.warnings]).toEqual([]);
  });

  test('says which hand could not be asked, and goes on with the next', async () => {
    const world = createWorld({ a: viewOf(rested), b: viewOf(rested) }, { broken: ['a'] });
    await createSuspender(world.deps).suspendIdle(LATER_MS, never);
    expect(idsOf(world)).toEqual(['a', 'b']);
    expect(world.warnings).toHaveLength(1);
  });

  test('does not overtake the one before', async () => {
    const world = createWorld({ a: viewOf(rested) });
    const list = Promise.withResolvers<readonly HandRecord[]>();
    world.deps.hands.listRunning = vi.fn<ListableHands['listRunning']>(() => list.promise);
    const suspender = createSuspender(world.deps);
    const first = suspender.suspendIdle(LATER_MS, never);
    await suspender.suspendIdle(LATER_MS, never);
    expect(world.deps.hands.listRunning).toHaveBeenCalledTimes(1);
    list.resolve([]);
    await first;
    await suspender.suspendIdle(LATER_MS, never);
    expect(world.deps.hands.listRunning).toHaveBeenCalledTimes(2);
  });
});

describe('the suspender', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
  afterEach(() => void vi.useRealTimers());

  test('looks at once and again and again, and lets go of everything when it is stopped', async () => {
    const world = createWorld({ a: viewOf(rested) });
    const signals: AbortSignal[] = [];
    world.deps.hands.suspendIdle = async (_hand, { signal }) => {
      signals.push(signal);
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      return false;
    };
    const suspender = startSuspender(world.deps);
    await eventually(() => expect(signals).toHaveLength(1));
    expect(vi.getTimerCount()).toBe(1);
    suspender.stop();
    expect(signals[0]?.aborted).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
    expect(world.warnings).toEqual([]);
  });

  test('does nothing at all where the setting is 0', () => {
    const world = createWorld({ a: viewOf(rested) });
    const list = vi.spyOn(world.deps.hands, 'listRunning');
    startSuspender({ ...world.deps, idleMs: 0 }).stop();
    expect(list).not.toHaveBeenCalled();
  });
});
