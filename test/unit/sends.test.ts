/** How much clients may have under way in one session; what is beyond that has not happened. */
import { status as GrpcStatus } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { isTooMuch } from '../../src/engine/temporal/backend.ts';
import type { Draft } from '../../src/log.ts';
import { EMPTY, type LoopState } from '../../src/loop/state.ts';
import { MOST_QUEUED, SessionBusyError, type SessionView } from '../../src/session.ts';
import { createSends, MOST_UNFINISHED, MOST_UNHEARD, type Known } from '../../src/session/sends.ts';
import type { EventBody } from '../../src/wire/event.ts';

let count = 0;

const draft = (event: object): Draft => {
  count += 1;
  return { event: { id: `sevt_${count}`, ...event } as EventBody };
};
const message = (): Draft => draft({ type: 'user.message', content: [] });
const INTERRUPT = draft({ type: 'user.interrupt' });
const UPDATE = draft({ type: 'session.updated' });

function knownAs(loop: Partial<LoopState> = {}, types: readonly string[] = []): Known {
  const ids = new Set<string>();
  return {
    index: { length: types.length, typeAt: (position) => types[position] ?? '' },
    view: { loop: { ...EMPTY, ...loop } } as SessionView,
    has: (id) => ids.has(id),
  };
}

/** Sends that end when they are told to. */
function createBed(known = knownAs()) {
  const sends = createSends();
  const open: (() => void)[] = [];
  return {
    send: (id: string, ...drafts: Draft[]) =>
      sends.admit(id, { drafts, known }, () => new Promise<void>((resolve) => void open.push(resolve))),
    /** How many have begun. */
    get begun() {
      return open.length;
    },
    end: () => open.shift()?.(),
  };
}

describe('sends that are under way', () => {
  it('are so many for a session, and the next one finds room when one has ended', async () => {
    const bed = createBed();
    const all = Array.from({ length: MOST_UNFINISHED }, () => bed.send('a', UPDATE));
    await expect(bed.send('a', UPDATE)).rejects.toThrow(SessionBusyError);
    expect(bed.begun).toBe(MOST_UNFINISHED);
    void bed.send('b', UPDATE);
    expect(bed.begun).toBe(MOST_UNFINISHED + 1);
    bed.end();
    await all[0];
    void bed.send('a', UPDATE);
    expect(bed.begun).toBe(MOST_UNFINISHED + 1);
    await expect(bed.send('a', UPDATE)).rejects.toThrow('under way already');
  });

  it('leave room for an interrupt, but not for any number of them', async () => {
    const bed = createBed();
    for (let nth = 0; nth < MOST_UNFINISHED; nth += 1) void bed.send('a', UPDATE);
    for (let nth = 0; nth < MOST_UNFINISHED; nth += 1) void bed.send('a', INTERRUPT, message());
    expect(bed.begun).toBe(2 * MOST_UNFINISHED);
    await expect(bed.send('a', INTERRUPT)).rejects.toThrow(SessionBusyError);
  });

  it('free their room when they fail', async () => {
    const sends = createSends();
    const request = { drafts: [UPDATE], known: knownAs() };
    for (let nth = 0; nth <= MOST_UNFINISHED; nth += 1)
      await expect(
        sends.admit('a', request, async () => {
          throw new Error('no database');
        }),
      ).rejects.toThrow('no database');
  });
});

describe('messages', () => {
  const messages = (length: number): Draft[] => Array.from({ length }, message);

  it('that wait, and those that are on their way, are so many together', async () => {
    const queue = Array.from({ length: MOST_QUEUED - 3 }, (_, index) => `q${index}`);
    const bed = createBed(knownAs({ queue }));
    void bed.send('a', ...messages(2));
    await expect(bed.send('a', ...messages(2))).rejects.toThrow('are waiting to be taken up');
    void bed.send('a', message());
    await expect(bed.send('a', message())).rejects.toThrow(SessionBusyError);
    void bed.send('a', INTERRUPT);
    expect(bed.begun).toBe(3);
  });

  it('are not counted twice once they are in the log', async () => {
    const seen = new Set<string>();
    const bed = createBed({ ...knownAs(), has: (id) => seen.has(id) });
    const many = messages(MOST_QUEUED);
    void bed.send('a', ...many);
    await expect(bed.send('a', message())).rejects.toThrow(SessionBusyError);
    for (const one of many) if ('event' in one) seen.add(one.event.id);
    void bed.send('a', message());
    expect(bed.begun).toBe(2);
  });
});

describe('events in one step of a turn', () => {
  const updates = Array.from({ length: MOST_UNHEARD }, () => 'session.updated');
  const before = ['session.status_running', 'span.model_request_start', 'agent.tool_use'];

  it('are so many, but an interrupt comes through', async () => {
    const bed = createBed(knownAs({ status: 'running' }, [...before, ...updates]));
    await expect(bed.send('a', UPDATE)).rejects.toThrow('in a single step');
    void bed.send('a', INTERRUPT);
    expect(bed.begun).toBe(1);
  });

  it.each([
    ['one fewer', 'running', [...before, ...updates.slice(1)]],
    ['the next step has begun', 'running', [...updates, 'span.model_request_start']],
    ['the session rests', 'idle', updates],
  ] as const)('are taken where %s', (_, status, types) => {
    const bed = createBed(knownAs({ status }, types));
    void bed.send('a', UPDATE);
    expect(bed.begun).toBe(1);
  });
});

it('what Temporal refuses because it is too much is told from other refusals', () => {
  const refusal = (code: number, details: string): Error =>
    new Error('Failed to signal Workflow', {
      cause: Object.assign(new Error(details), { code, details, metadata: {} }),
    });
  expect(isTooMuch(refusal(GrpcStatus.RESOURCE_EXHAUSTED, 'Workflow is busy.'))).toBe(true);
  const full = 'exceeded workflow execution limit for signal events';
  expect(isTooMuch(refusal(GrpcStatus.INVALID_ARGUMENT, full))).toBe(true);
  expect(isTooMuch(refusal(GrpcStatus.INVALID_ARGUMENT, 'Blob data size exceeds limit.'))).toBe(false);
  expect(isTooMuch(refusal(GrpcStatus.UNAVAILABLE, 'no connection'))).toBe(false);
  expect(isTooMuch(new Error('other'))).toBe(false);
});
