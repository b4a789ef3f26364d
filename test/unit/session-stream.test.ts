import { Stream } from '@anthropic-ai/sdk/core/streaming';
import { describe, expect, test } from 'vitest';
import { openStream, type DeltaTypes } from '../../src/http/routes/session-stream.ts';
import type { Entry } from '../../src/log.ts';
import type { PreviewMessage, PreviewReceiver } from '../../src/previews.ts';
import { SessionGoneError, type Sessions } from '../../src/session.ts';
import { eventually } from '../support/eventually.ts';
import { framesOf, numberedOf } from '../support/frames.ts';

interface SeenFrame {
  type: string;
  id?: string;
}

/** A session that the test moves on by hand. */
function world() {
  const queue: (readonly Entry[] | Error | 'end')[] = [];
  const listeners = new Set<(message: PreviewMessage) => void>();
  const state = { deleted: false as boolean | Error, following: false, position: 0, given: 0 };
  let wake = (): void => undefined;

  async function* entries(signal: AbortSignal): AsyncIterable<readonly Entry[]> {
    signal.addEventListener('abort', () => wake());
    state.following = true;
    try {
      while (!signal.aborted) {
        const next = queue.shift();
        if (next === 'end') return;
        if (next instanceof Error) throw next;
        if (next) {
          state.given += next.length;
          yield next;
        } else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      state.following = false;
    }
  }

  const put = (item: readonly Entry[] | Error | 'end'): void => {
    queue.push(item);
    wake();
  };
  const sessions = {
    follow: async (id: string, signal: AbortSignal) => {
      if (id === 'gone') throw new SessionGoneError(id);
      return { from: 0, entries: entries(signal) };
    },
  } as unknown as Sessions;
  const previews: PreviewReceiver = {
    listen(_, listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => undefined,
  };
  const isDeleted = async (): Promise<boolean> => {
    if (state.deleted instanceof Error) throw state.deleted;
    return state.deleted;
  };
  return {
    state,
    listeners,
    deps: { sessions, previews, now: () => 'now', isDeleted },
    event: (id: string, type: string, rest: object = {}) =>
      put([
        {
          position: (state.position += 1),
          event: { id, type, processed_at: 'then', ...rest },
        } as unknown as Entry,
      ]),
    end: () => put('end'),
    fail: (error: Error) => put(error),
    show: (spanId: string, frame: PreviewMessage['frame']) => {
      for (const listener of listeners) listener({ sessionId: 's', spanId, frame });
    },
  };
}

async function open(one: ReturnType<typeof world>, deltas: DeltaTypes = []) {
  const response = await openStream(one.deps, { sessionId: 's', deltas });
  const frames: SeenFrame[] = [];
  const reading = (async () => {
    for await (const frame of Stream.fromSSEResponse<SeenFrame>(response, new AbortController()))
      frames.push(frame);
  })();
  const ended = Promise.allSettled([reading]).then(([result]) => result);
  return { response, frames, ended };
}

const start = (id: string) => ({ type: 'event_start', event: { type: 'agent.message', id } }) as const;
const types = (frames: readonly SeenFrame[]): string[] => frames.map(({ type }) => type);

describe('a stream', () => {
  test("gives what is written, without the harness's own facts", async () => {
    const one = world();
    const { frames, ended, response } = await open(one);
    one.event('a', 'session.status_running');
    one.event('b', 'x.hand_provisioned');
    one.event('c', 'agent.thinking');
    one.end();
    expect(await ended).toMatchObject({ status: 'fulfilled' });
    expect(frames).toEqual([
      { id: 'a', type: 'session.status_running', processed_at: 'then' },
      { id: 'c', type: 'agent.thinking', processed_at: 'then' },
    ]);
    expect(response.headers.get('content-type')).toContain('text/event-stream');
  });

  test('begins with a ping, so that the client knows that it is open', async () => {
    const response = await openStream(world().deps, { sessionId: 's', deltas: [] });
    const reader = response.body?.getReader();
    const first = await reader?.read();
    expect(new TextDecoder().decode(first?.value)).toBe('event: ping\ndata: {"type":"ping"}\n\n');
    await reader?.cancel();
  });

  test('shows previews where they belong', async () => {
    const one = world();
    const { frames, ended } = await open(one, ['agent.message']);
    expect(one.listeners.size).toBe(1);
    one.show('s1', start('m'));
    one.event('s1', 'span.model_request_start');
    await eventually(() => expect(frames).toHaveLength(2));
    one.event('m', 'agent.message');
    await eventually(() => expect(frames).toHaveLength(3));
    one.show('s1', start('m'));
    one.end();
    await ended;
    expect(types(frames)).toEqual(['span.model_request_start', 'event_start', 'agent.message']);
    expect(one.listeners.size).toBe(0);
  });

  test('does not even listen for previews that nobody asked for', async () => {
    const one = world();
    const { ended } = await open(one);
    expect(one.listeners.size).toBe(0);
    one.end();
    await ended;
  });

  test('says that the session was deleted, and ends', async () => {
    const one = world();
    const { frames, ended } = await open(one);
    one.state.deleted = true;
    one.fail(new SessionGoneError('gone'));
    expect(await ended).toMatchObject({ status: 'fulfilled' });
    expect(frames).toEqual([
      { type: 'session.deleted', id: expect.stringMatching(/^sevt_/), processed_at: 'now' },
    ]);
  });

  test('makes the client throw when it breaks', async () => {
    const one = world();
    const { frames, ended } = await open(one);
    one.fail(new Error('the server is away: secret address'));
    expect(await ended).toMatchObject({ status: 'rejected', reason: { type: 'api_error' } });
    expect(JSON.stringify(await ended)).not.toContain('secret');
    expect(frames).toEqual([]);
  });

  test('that breaks because the session is being deleted says so', async () => {
    const one = world();
    const { frames, ended } = await open(one);
    one.state.deleted = true;
    one.fail(new Error('no such blob'));
    expect(await ended).toMatchObject({ status: 'fulfilled' });
    expect(types(frames)).toEqual(['session.deleted']);
  });

  test('makes the client throw also when the same outage hides whether the session was deleted', async () => {
    const one = world();
    const { ended } = await open(one);
    one.state.deleted = new Error('the database is away');
    one.fail(new Error('the database is away'));
    expect(await ended).toMatchObject({ status: 'rejected', reason: { type: 'api_error' } });
  });

  test('just ends when it cannot be found out whether the session was deleted', async () => {
    const one = world();
    const { frames, ended } = await open(one);
    one.state.deleted = new Error('the database is closed');
    one.end();
    expect(await ended).toMatchObject({ status: 'fulfilled' });
    expect(frames).toEqual([]);
  });
});

describe('leaving', () => {
  test('stops following and listening', async () => {
    const one = world();
    const response = await openStream(one.deps, { sessionId: 's', deltas: ['agent.message'] });
    await eventually(() => expect(one.state.following).toBe(true));
    expect(one.listeners.size).toBe(1);
    await response.body?.cancel();
    await eventually(() => expect(one.state.following).toBe(false));
    await eventually(() => expect(one.listeners.size).toBe(0));
  });

  test('a session that is not there opens nothing and leaves nothing behind', async () => {
    const one = world();
    await expect(openStream(one.deps, { sessionId: 'gone', deltas: ['agent.message'] })).rejects.toThrow(
      SessionGoneError,
    );
    expect(one.listeners.size).toBe(0);
  });

  test('who reads too slowly is cut off, with an error instead of a hole', async () => {
    const one = world();
    const response = await openStream(one.deps, { sessionId: 's', deltas: [] });
    await eventually(() => expect(one.state.following).toBe(true));
    for (let at = 0; at < 6000; at += 1) one.event(`e${at}`, 'agent.thinking');
    await eventually(() => expect(one.state.following).toBe(false));
    await expect(response.text()).rejects.toThrow('does not keep up');
  });

  test('who can resume is waited for, however much there is to catch up with', async () => {
    const one = world();
    for (let at = 0; at < 10_000; at += 1) one.event(`e${at}`, 'agent.thinking');
    one.end();
    const response = await openStream(one.deps, { sessionId: 's', deltas: [], resumable: true, from: 1 });
    const seen: number[] = [];
    for await (const { id } of numberedOf(response)) {
      seen.push(id);
      // One that is on its way, and one that waits for its turn.
      if (one.state.given > seen.length + 2)
        throw new Error(`${one.state.given} given, ${seen.length} taken`);
    }
    expect(seen).toEqual(Array.from({ length: 10_000 }, (_, at) => at + 1));
  });

  test('who can resume and lets previews pile up is cut off', async () => {
    const one = world();
    one.event('s1', 'span.model_request_start');
    const response = await openStream(one.deps, {
      sessionId: 's',
      deltas: ['agent.message'],
      resumable: true,
    });
    const frames = framesOf(response);
    expect(await frames.next()).toMatchObject({ value: { type: 'ping' } });
    expect(await frames.next()).toMatchObject({ value: { type: 'span.model_request_start' } });
    one.show('s1', start('m'));
    for (let at = 0; at < 6000; at += 1) {
      const delta = { type: 'content_delta', index: 0, content: { type: 'text', text: 'a' } } as const;
      one.show('s1', { type: 'event_delta', event_id: 'm', delta });
    }
    await eventually(() => expect(one.state.following).toBe(false));
    await eventually(() => expect(one.listeners.size).toBe(0));
    await expect(frames.next()).rejects.toThrow('does not keep up');
  });
});
