/** What the runner does with calls while it is asked to begin none. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ToolCall, ToolOutcome } from '../../src/hands.ts';
import { createCalls, type Calls } from '../../src/hands/runner/calls.ts';
import type { Journal } from '../../src/hands/runner/journal.ts';

const fine: ToolOutcome = { content: [{ type: 'text', text: 'fine' }], isError: false };
const call = (id: string): ToolCall => ({ id, name: 'bash', input: { command: 'x' } });
/** Longer than any hold is good for. */
const LONG_MS = 60_000;

interface World {
  readonly calls: Calls;
  /** What was done, in order. */
  readonly done: string[];
  /** Ends the call that runs. */
  finish(id: string): void;
}

/** The calls of a hand whose tools run until they are told to finish. */
function createWorld({ diskIsFull = false } = {}): World {
  const done: string[] = [];
  const ends = new Map<string, (outcome: ToolOutcome) => void>();
  const journal: Journal = {
    isEmpty: async () => done.length === 0,
    read: async () => ({ kind: 'new' }),
    async started({ id }) {
      done.push(`noted ${id}`);
    },
    async finished() {
      if (diskIsFull) throw new Error('no space left');
    },
  };
  const calls = createCalls(journal, ({ id }) => {
    done.push(`ran ${id}`);
    return new Promise((resolve) => ends.set(id, resolve));
  });
  return { calls, done, finish: (id) => ends.get(id)?.(fine) };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Lets everything happen that needs no time. */
const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

describe('a hold', () => {
  it('keeps calls from beginning, and from the journal, until it is dropped', async () => {
    const { calls, done, finish } = createWorld();
    const hold = calls.hold(0);
    const outcomes = ['a', 'b'].map((id) => calls.execute(call(id)));
    await settle();
    expect(done).toEqual([]);
    expect(hold?.stands()).toBe(true);
    hold?.drop();
    await settle();
    expect(done.toSorted()).toEqual(['noted a', 'noted b', 'ran a', 'ran b']);
    expect(hold?.stands()).toBe(false);
    for (const id of ['a', 'b']) finish(id);
    expect(await Promise.all(outcomes)).toEqual([fine, fine]);
  });

  it('ends by itself, and then calls begin, once each', async () => {
    const { calls, done, finish } = createWorld();
    const hold = calls.hold(0);
    const outcomes = [calls.execute(call('a')), calls.execute(call('a'))];
    await vi.advanceTimersByTimeAsync(LONG_MS);
    expect(hold?.stands()).toBe(false);
    expect(done).toEqual(['noted a', 'ran a']);
    finish('a');
    expect(await Promise.all(outcomes)).toEqual([fine, fine]);
  });

  it('is refused while a call is under way, and while another one stands', async () => {
    const { calls, finish } = createWorld();
    const outcome = calls.execute(call('a'));
    await settle();
    expect(calls.hold(0)).toBeUndefined();
    finish('a');
    await outcome;
    const hold = calls.hold(0);
    expect(hold).toBeDefined();
    expect(calls.hold(0)).toBeUndefined();
    hold?.drop();
    expect(calls.hold(0)).toBeDefined();
  });

  it('that is dropped late, when another one stands, leaves that one alone', () => {
    const { calls } = createWorld();
    const first = calls.hold(0);
    vi.advanceTimersByTime(LONG_MS);
    const second = calls.hold(0);
    first?.drop();
    expect([first?.stands(), second?.stands()]).toEqual([false, true]);
  });

  it('is refused to the next one while calls that it held have yet to begin', async () => {
    const { calls, done } = createWorld();
    const hold = calls.hold(0);
    void calls.execute(call('a'));
    hold?.drop();
    expect(calls.hold(0)).toBeUndefined();
    await settle();
    expect(done).toContain('ran a');
  });

  it('is given only when there was no call for as long as is asked, the start counting as one', async () => {
    const { calls, finish } = createWorld();
    expect(calls.hold(1000)).toBeUndefined();
    vi.advanceTimersByTime(999);
    expect(calls.hold(1000)).toBeUndefined();
    vi.advanceTimersByTime(1);
    calls.hold(1000)?.drop();
    const outcome = calls.execute(call('a'));
    await vi.advanceTimersByTimeAsync(5000);
    finish('a');
    await outcome;
    expect(calls.hold(1000)).toBeUndefined();
    vi.advanceTimersByTime(1000);
    expect(calls.hold(1000)).toBeDefined();
  });

  it('does not let a call begin that was aborted meanwhile', async () => {
    const { calls, done } = createWorld();
    const hold = calls.hold(0);
    const outcome = calls.execute(call('a'));
    await calls.abort('a');
    expect(await outcome).toMatchObject({ isError: true });
    hold?.drop();
    await settle();
    expect(done).toEqual([]);
  });

  it('is refused while the runner alone knows what came of a call', async () => {
    const { calls, finish } = createWorld({ diskIsFull: true });
    const outcome = calls.execute(call('a'));
    await settle();
    finish('a');
    await outcome;
    expect(calls.hold(0)).toBeUndefined();
  });
});
