/**
 * The context window as a view of the log: what the model receives after a clearing, a compaction and an interrupt.
 * On a server of its own whose thresholds are low.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { SUMMARY_REQUEST } from '../../src/brain/compaction.ts';
import { unique, useServer } from '../support/client.ts';
import { startTestServer } from '../support/server.ts';
import {
  BEFORE,
  message,
  modelRequests,
  only,
  script,
  textOf,
  typesOf,
  useTestbed,
  type Live,
  type ModelRequest,
} from '../support/turns.ts';

const started = await startTestServer({
  DROVER_CLEAR_AT: '3000',
  DROVER_KEEP_RESULTS: '1',
  DROVER_COMPACT_AT: '9000',
  DROVER_KEEP_ANSWERS: '1',
});
useServer(started);
afterAll(() => started.stop(), 60_000);

const bed = useTestbed();
const CLEARED = '[Cleared to save space.';

async function marked(): Promise<{ live: Live; requests: () => Promise<ModelRequest[]> }> {
  const mark = unique('context');
  const agent = await bed.agent({ system: mark, model: 'claude-opus-4-8' });
  return { live: await bed.live({ agent: agent.id }), requests: () => modelRequests(mark) };
}

/** A command whose output is `chars` long and begins with a word. */
function print(word: string, chars: number) {
  return { call: 'bash', input: { command: `echo ${word}; head -c ${chars} /dev/zero | tr '\\0' x` } };
}

function toolsOf({ body }: ModelRequest): string[] {
  return (body.tools ?? []).map(({ name }) => name);
}

const said = (request: ModelRequest | undefined): string => JSON.stringify(request?.body.messages);

describe('clearing', () => {
  it('takes old results out of the prompt, leaves them in the log, and lets Claude read them back', async () => {
    const { live, requests } = await marked();
    const words = ['apple', 'banana', 'cherry', 'damson', 'elder'];
    await live.turn(
      script(
        ...words.map((word) => print(word, 3000)),
        { call: 'read_session_log', input: { types: ['agent.tool_result'], order: 'asc' } },
        { say: 'Read back.' },
      ),
    );
    const sent = await requests();
    const first = sent.findIndex((request) => said(request).includes(CLEARED));
    expect(first).toBeGreaterThan(1);
    expect(said(sent[first - 1])).toContain('apple\\n');
    expect(said(sent[first])).not.toContain('apple\\nxxx');
    const newest = words.filter((word) => said(sent[first]).includes(`${word}\\nxxx`));
    expect(newest).toEqual([words[first - 1]]);
    for (const [index, request] of sent.entries())
      expect(toolsOf(request).includes('read_session_log'), `request ${index}`).toBe(index >= first);

    const results = only(await live.list(), 'agent.tool_result');
    expect(results.slice(0, 5).map((result) => textOf(result).slice(0, 8))).toEqual(
      words.map((word) => `${word}\nxxxxxx`.slice(0, 8)),
    );
    const reading = only(live.events, 'agent.tool_use').at(-1);
    expect(reading).toMatchObject({ name: 'read_session_log', evaluated_permission: 'allow' });
    const read = textOf(results.find(({ tool_use_id }) => tool_use_id === reading?.id));
    expect(read).toContain('apple\\nxxx');
    expect(read.split('\n').map((line) => (JSON.parse(line) as { type: string }).type)).toEqual(
      Array<string>(5).fill('agent.tool_result'),
    );
    expect(textOf(only(live.events, 'agent.message').at(-1))).toBe('Read back.');
  });

  it('is done once, and then the prompt only grows until the next time', async () => {
    const { live, requests } = await marked();
    await live.turn(script(...Array.from({ length: 9 }, (_, at) => print(`w${at}`, 2000)), { say: 'Done.' }));
    const counts = (await requests()).map((request) => said(request).split(CLEARED).length - 1);
    expect(counts).toEqual(counts.toSorted((left, right) => left - right));
    const changes = counts.filter((count, at) => at > 0 && count !== counts[at - 1]).length;
    expect(changes).toBeGreaterThan(0);
    expect(changes).toBeLessThan(4);
  });
});

describe('compaction', () => {
  it('sums the conversation up in a span of its own; the log keeps everything', async () => {
    const { live, requests } = await marked();
    const secret = unique('secret');
    await live.turn(
      `${script({ say: 'first' }, { stop: 'end_turn' }, { say: 'second' }, { stop: 'end_turn' }, { say: 'third' })}\n` +
        `${secret} ${'z'.repeat(36_000)}`,
    );
    const turn = await live.turn('go on');
    expect(typesOf(turn)).toEqual([
      'user.message',
      'session.status_running',
      'session.thread_status_running',
      'user.message',
      'span.model_request_start',
      'agent.thread_context_compacted',
      'span.model_request_end',
      'span.model_request_start',
      'agent.message',
      'span.model_request_end',
      'session.thread_status_idle',
      'session.usage',
      'session.status_idle',
    ]);
    const [compacted] = only(turn, 'agent.thread_context_compacted');
    expect(Object.keys(compacted ?? {}).toSorted()).toEqual(['id', 'processed_at', 'type']);
    expect(only(turn, 'agent.message').map(textOf)).toEqual(['second']);

    const sent = await requests();
    expect(sent).toHaveLength(3);
    expect(said(sent[1])).toContain(SUMMARY_REQUEST);
    expect(said(sent[1])).toContain(secret);
    expect(said(sent[2])).not.toContain(secret);
    expect(sent[2]?.body.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user']);
    expect(said(sent[2])).toContain('Scripted summary of 1 messages.');
    expect(said(sent[2])).toContain('go on');
    expect(JSON.stringify(await live.list())).toContain(secret);

    const next = await live.turn('and on');
    expect(only(next, 'agent.message').map(textOf)).toEqual(['third']);
    expect(typesOf(next)).not.toContain('agent.thread_context_compacted');
  });

  it('comes in the middle of a turn too, and the turn goes on with its tools', async () => {
    const { live, requests } = await marked();
    const turn = await live.turn(
      `${script(print('one', 4), print('two', 4), print('three', 4), { say: 'All: {{result}}' })}\n${'y'.repeat(34_500)}`,
    );
    expect(only(turn, 'agent.thread_context_compacted')).toHaveLength(1);
    expect(only(turn, 'agent.tool_result').map((result) => textOf(result).split('\n')[0])).toEqual([
      'one',
      'two',
      'three',
    ]);
    expect(textOf(only(turn, 'agent.message').at(-1))).toContain('All: three');
    expect((await requests()).filter((request) => said(request).includes(SUMMARY_REQUEST))).toHaveLength(1);
  });

  it('answers a prompt that the model refuses as too long', async () => {
    const { live } = await marked();
    const limit = { window: 6000 };
    await live.turn(
      `${script(limit, { say: 'first' }, { stop: 'end_turn' }, { say: 'second' })}\n${'y'.repeat(8000)}`,
    );
    const turn = await live.turn('x'.repeat(20_000));
    expect(only(turn, 'agent.thread_context_compacted')).toHaveLength(1);
    expect(only(turn, 'session.error')).toEqual([]);
    expect(only(turn, 'agent.message').map(textOf)).toEqual(['second']);
    expect(only(turn, 'span.model_request_end').map(({ is_error }) => is_error)).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('gives up after a bounded number of tries where nothing makes the prompt fit', async () => {
    const { live, requests } = await marked();
    await live.turn(script({ say: 'first' }, { stop: 'end_turn' }, { say: 'second' }));
    const turn = await live.turn(script({ window: 10 }, { say: 'never' }));
    const [error] = only(turn, 'session.error');
    expect(error?.error).toMatchObject({
      type: 'compaction_limit_reached_error',
      retry_status: { type: 'exhausted' },
    });
    expect(only(turn, 'session.status_idle')[0]?.stop_reason).toEqual({ type: 'retries_exhausted' });
    expect((await requests()).length).toBeLessThanOrEqual(10);
  });
});

describe('a compaction that a client asks for', () => {
  it('is made anew from the log before the next request, with the settings that it asks for', async () => {
    const { live, requests } = await marked();
    const secret = unique('secret');
    const says = ['one', 'two', 'three', 'four'].flatMap((word) => [{ say: word }, { stop: 'end_turn' }]);
    await live.turn(`${script({ summary: 'A poor summary.' }, ...says)}\n${secret} ${'z'.repeat(36_000)}`);
    await live.turn('go on');
    expect(said((await requests()).at(-1))).not.toContain(secret);

    const path = `/v1/x/sessions/${live.id}/compact`;
    const answer = await bed.client.post<{ type: string }>(path, { body: { keep_answers: 0 } });
    expect(answer.type).toBe('compaction_requested');
    expect(only(live.events, 'agent.thread_context_compacted')).toHaveLength(1);
    const turn = await live.turn('and on');
    expect(only(turn, 'agent.thread_context_compacted')).toHaveLength(1);
    const [summing, answering] = (await requests()).slice(-2);
    expect(said(summing), 'not from the poor summary').toContain(secret);
    expect(said(summing)).not.toContain('A poor summary.</');
    expect(answering?.body.messages.map(({ role }) => role)).toEqual(['user']);
    expect(only(turn, 'agent.message').map(textOf)).toEqual(['three']);
    expect(only(await live.turn('last'), 'agent.thread_context_compacted')).toEqual([]);

    await expect(bed.client.post(path, { body: { keep_answers: -1 } })).rejects.toMatchObject({
      status: 400,
    });
    await expect(bed.client.post(path, { body: { surprise: 1 } })).rejects.toMatchObject({ status: 400 });
  });
});

describe('an interrupt', () => {
  it('leaves nothing of the answer that it broke off in the next prompt', async () => {
    const { live, requests } = await marked();
    await live.send(message(script(...BEFORE, { say: 'half an answer '.repeat(50), chunkDelayMs: 500 })));
    await live.next('span.model_request_start', 2);
    await live.interrupt();
    await live.next('session.status_idle');
    await live.turn('instead, say hello');
    const last = (await requests()).at(-1);
    const answers = last?.body.messages.filter(({ role }) => role === 'assistant');
    expect(answers?.map(textOf)).toEqual(['.']);
    expect(last?.body.messages.at(-1)?.content.at(-1)).toMatchObject({ text: 'instead, say hello' });
  });
});
