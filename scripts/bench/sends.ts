/** Many requests to one session: more than a single run of its workflow would take. */
import type Anthropic from '@anthropic-ai/sdk';
import { listAll } from '../compare/follow.ts';
import {
  clientOf,
  figures,
  makeAgent,
  round,
  runTurn,
  warmUp,
  withServer,
  type Result,
  type Scenario,
} from './measure.ts';

/** Temporal takes 10,000 signals a run. */
const REQUESTS = 12_000;
const SENDERS = 16;
/** Who is refused comes again. */
const RETRIES = 100;
const SETTLED_WITHIN_MS = 60_000;

/** `sends`. */
export const sends: Scenario = {
  about: `${REQUESTS} requests to one session, by ${SENDERS} senders at once: interrupts, which need no model`,
  run: () =>
    withServer({ DROVER_SANDBOX: 'bubblewrap' }, async (server) => {
      await warmUp(server);
      const client = clientOf(server).withOptions({ maxRetries: RETRIES });
      const { id } = await client.beta.sessions.create(await makeAgent(client));
      const samples: number[] = [];
      const start = performance.now();
      const sent = await Promise.all(
        Array.from({ length: SENDERS }, () => send(client, id, { count: REQUESTS / SENDERS, samples })),
      );
      const tookMs = performance.now() - start;
      await untilSettled(client, id, sent);
      const { idleMs } = await runTurn(client, id, 'and a turn');
      const { segments }: { segments: unknown[] } = await client.get(`/v1/x/sessions/${id}/verify`);
      return {
        'requests a second': round(REQUESTS / (tookMs / 1000)),
        'a request': figures(samples),
        'the next turn, ms': round(idleMs),
        'segments sealed': segments.length,
      } satisfies Result;
    }),
};

/** One sender's requests, one after the other. Answers the ids that were acknowledged. */
async function send(
  client: Anthropic,
  session: string,
  { count, samples }: { count: number; samples: number[] },
): Promise<string[]> {
  const ids: string[] = [];
  for (let nth = 0; nth < count; nth += 1) {
    const start = performance.now();
    const { data } = await client.beta.sessions.events.send(session, {
      events: [{ type: 'user.interrupt' }],
    });
    samples.push(performance.now() - start);
    for (const { id } of data ?? []) ids.push(id);
  }
  return ids;
}

/** Throws unless all that was acknowledged is there once, taken up, and in its sender's order. */
async function untilSettled(
  client: Anthropic,
  session: string,
  sent: readonly (readonly string[])[],
): Promise<void> {
  for (const deadline = performance.now() + SETTLED_WITHIN_MS; ;) {
    const problem = problemOf(await listAll(client, session), sent);
    if (problem === undefined) return;
    if (performance.now() > deadline) throw new Error(problem);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

function problemOf(
  listed: readonly { readonly id: string; readonly type: string; readonly processed_at?: string | null }[],
  sent: readonly (readonly string[])[],
): string | undefined {
  const interrupts = listed.filter(({ type }) => type === 'user.interrupt');
  const waiting = interrupts.filter(({ processed_at }) => processed_at === null).length;
  if (waiting > 0) return `${waiting} events are not taken up`;
  const places = new Map(interrupts.map(({ id }, at) => [id, at]));
  if (places.size !== interrupts.length) return 'events are there twice';
  if (interrupts.length !== REQUESTS) return `${interrupts.length} of ${REQUESTS} events are there`;
  const isOrdered = sent.every((ids) =>
    ids.every(
      (id, nth) => nth === 0 || (places.get(ids[nth - 1] ?? '') ?? REQUESTS) < (places.get(id) ?? -1),
    ),
  );
  return isOrdered ? undefined : 'events of a sender stand in another order than they were acknowledged in';
}
