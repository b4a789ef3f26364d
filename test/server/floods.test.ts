/** Clients that send faster than a session moves: what was acknowledged is there once, what was refused is not. */
import Anthropic, { RateLimitError } from '@anthropic-ai/sdk';
import { describe, expect, it } from 'vitest';
import { MOST_QUEUED } from '../../src/session.ts';
import { createClient, server, unique } from '../support/client.ts';
import { collect } from '../support/control-plane.ts';
import { eventually } from '../support/process.ts';
import { portOf } from '../support/server.ts';
import { message, only, script, textOf, untilIdle, useTestbed, type ListedEvent } from '../support/turns.ts';

const SENDERS = 50;
const SLOW = { timeout: 120_000 };
/** Enough for many runs of the shortest kind, and for two of the usual one. */
const SENDS = 400;
const AT_ONCE = 8;

const bed = useTestbed();
const { events } = bed.client.beta.sessions;

/** Logs of floods are too long to have each prefix checked: what counts of them is checked here. */
async function makeSession(): Promise<string> {
  const [{ id: agent }, environment_id] = [await bed.agent(), await bed.environment()];
  return (await bed.client.beta.sessions.create({ agent, environment_id })).id;
}

const listAll = (id: string): Promise<ListedEvent[]> => collect(events.list(id, { limit: 1000 }));

/** The texts of a session's messages, in the order of the list. */
async function textsOf(id: string): Promise<string[]> {
  return only(await listAll(id), 'user.message').map(textOf);
}

/** A session in whose turn the model's answer is held, with so many messages that wait. */
async function held(waiting: number): Promise<{ id: string; release: () => Promise<void> }> {
  const id = await makeSession();
  const hold = unique('flood');
  await events.send(id, { events: [message(script({ say: 'half' }, { hold }, { say: 'the rest' }))] });
  await eventually('the model to be asked', async () =>
    (await listAll(id)).some(({ type }) => type === 'span.model_request_start'),
  );
  const texts = Array.from({ length: waiting }, (_, index) => `waits ${index}`);
  await events.send(id, { events: texts.map(message) });
  const port = await portOf(server(), 'model');
  return {
    id,
    release: async () =>
      void (await fetch(`http://127.0.0.1:${port}/x/release?hold=${hold}`, { method: 'POST' })),
  };
}

describe('a flood of messages', () => {
  it('to a session that works is refused beyond what may wait, and leaves no trace', SLOW, async () => {
    const { id, release } = await held(MOST_QUEUED - 1);
    const { client } = createClient({ maxRetries: 0 });
    const answers = await Promise.all(
      Array.from({ length: SENDERS }, async (_, nth) => {
        const text = `flood ${nth}`;
        return await client.beta.sessions.events.send(id, { events: [message(text)] }).then(
          () => ({ text, error: undefined }),
          (error: unknown) => ({ text, error }),
        );
      }),
    );
    const taken = answers.filter(({ error }) => error === undefined).map(({ text }) => text);
    expect(taken).toHaveLength(1);
    for (const { error } of answers.filter((one) => one.error !== undefined)) {
      expect(error).toBeInstanceOf(RateLimitError);
      const refusal = error as RateLimitError;
      expect(refusal.headers.get('retry-after')).toBe('1');
      expect(refusal.error).toMatchObject({ type: 'error', error: { type: 'rate_limit_error' } });
    }
    await release();
    await untilIdle(bed.client, id);
    const waited = Array.from({ length: MOST_QUEUED - 1 }, (_, index) => `waits ${index}`);
    expect((await textsOf(id)).slice(1)).toEqual([...waited, ...taken]);
  });

  it('is slowed down: a client that comes again as it is told gets through', SLOW, async () => {
    const { id, release } = await held(MOST_QUEUED);
    const refused: (string | null)[] = [];
    const { client } = createClient({
      maxRetries: 20,
      async fetch(input, init) {
        const answer = await fetch(input, init);
        if (answer.status !== 429) return answer;
        refused.push(answer.headers.get('retry-after'));
        await release();
        return answer;
      },
    });
    const { data = [] } = await client.beta.sessions.events.send(id, { events: [message('patient')] });
    expect(refused.length).toBeGreaterThan(0);
    expect(new Set(refused)).toEqual(new Set(['1']));
    await untilIdle(bed.client, id);
    expect((await listAll(id)).filter((event) => event.id === data?.[0]?.id)).toHaveLength(1);
    expect((await textsOf(id)).filter((text) => text === 'patient')).toHaveLength(1);
  });

  it(
    `from ${SENDERS} senders at once does not wedge a session: each message is there once, in its sender's order`,
    SLOW,
    async () => {
      const id = await makeSession();
      const { client, calls } = createClient({ maxRetries: 50 });
      const each = 6;
      await Promise.all(
        Array.from({ length: SENDERS }, async (_, sender) => {
          for (let nth = 0; nth < each; nth += 1)
            await client.beta.sessions.events.send(id, { events: [message(`${sender} sends ${nth}`)] });
        }),
      );
      const refused = calls.filter(({ status }) => status === 429);
      process.stderr.write(
        `measured: ${SENDERS * each} messages of ${SENDERS} senders, refused ${refused.length} times\n`,
      );
      expect(calls.map(({ status }) => status).filter((status) => status !== 200 && status !== 429)).toEqual(
        [],
      );
      await untilIdle(bed.client, id);
      const texts = await textsOf(id);
      expect(texts).toHaveLength(SENDERS * each);
      for (let sender = 0; sender < SENDERS; sender += 1)
        expect(texts.filter((text) => text.startsWith(`${sender} sends `))).toEqual(
          Array.from({ length: each }, (_, nth) => `${sender} sends ${nth}`),
        );
      await events.send(id, { events: [message(script({ say: 'still here' }))] });
      await eventually('an answer', async () =>
        only(await listAll(id), 'agent.message').some((event) => textOf(event) === 'still here'),
      );
    },
  );
});

it(
  `${SENDS} requests to one session: each event is there once, in its sender's order, and the session goes on`,
  SLOW,
  async () => {
    const id = await makeSession();
    const client = new Anthropic({ baseURL: server().url, apiKey: server().apiKey, maxRetries: 50 });
    const sent = await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        const ids: string[] = [];
        for (let nth = 0; nth < SENDS / AT_ONCE; nth += 1) {
          const { data } = await client.beta.sessions.events.send(id, {
            events: [{ type: 'user.interrupt' }],
          });
          ids.push(...(data ?? []).map((event) => event.id));
        }
        return ids;
      }),
    );
    // A session at rest is idle all the while.
    let listed: ListedEvent[] = [];
    await eventually('all of them to be taken up', async () => {
      listed = only(await listAll(id), 'user.interrupt');
      return listed.every((event) => 'processed_at' in event && event.processed_at !== null);
    });
    const ids = listed.map((event) => event.id);
    expect(ids).toHaveLength(SENDS);
    for (const own of sent) expect(ids.filter((one) => own.includes(one))).toEqual(own);
    await events.send(id, { events: [message(script({ say: 'still here' }))] });
    await eventually('an answer', async () => only(await listAll(id), 'agent.message').length === 1);
  },
);
