/** Large content: it comes and goes whole, and no single write of its session is large. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { server, unique } from '../support/client.ts';
import { failureOf } from '../support/control-plane.ts';
import { openProbe, untilIdlePast, type Probe } from '../support/probe.ts';
import {
  message,
  modelRequests,
  only,
  script,
  textOf,
  useTestbed,
  type Live,
  type ModelRequest,
} from '../support/turns.ts';

const bed = useTestbed();
const LARGEST_WRITE_BYTES = 64 * 1024;
/** Large enough to be over Temporal's limit of 2 MiB for a payload. */
const LARGE = 3 * 1024 * 1024;

let probe: Probe;
beforeAll(async () => {
  probe = await openProbe(server());
});
afterAll(() => probe.close());

async function marked(prefix: string): Promise<{ live: Live; mark: string }> {
  const mark = unique(prefix);
  const agent = await bed.agent({ system: mark });
  return { live: await bed.live({ agent: agent.id }), mark };
}

/** All blocks that the model was shown in its latest request. */
async function blocksSeen(mark: string): Promise<ModelRequest['body']['messages'][number]['content']> {
  return ((await modelRequests(mark)).at(-1)?.body.messages ?? []).flatMap(({ content }) => content);
}

/** The log holds references only, and the session takes the next message. */
async function staysUsable(live: Live): Promise<void> {
  const sizes = (await probe.writes(live.id)).map(({ bytes }) => bytes.byteLength);
  expect(Math.max(...sizes)).toBeLessThan(LARGEST_WRITE_BYTES);
  const after = await live.turn(script({ say: 'still here' }));
  expect(only(after, 'agent.message').map(textOf)).toEqual(['still here']);
  expect(only(after, 'session.error')).toEqual([]);
  expect((await live.read()).status).toBe('idle');
}

/** Large texts are compared by this, for a failure that can be read. */
function differs(found: string | undefined, expected: string): string | undefined {
  if (found === expected) return undefined;
  return `${found?.length ?? 'no'} characters instead of ${expected.length}, or others`;
}

describe('large content', () => {
  it('a text of 3 MB', async () => {
    const { live, mark } = await marked('text');
    const text = `${script({ say: 'read' })}\n${'lorem ipsum '.repeat(LARGE / 12)}end`;
    const turn = await live.turn(text);

    expect(only(turn, 'agent.message').map(textOf)).toEqual(['read']);
    const shown = only(turn, 'user.message');
    expect(shown).toHaveLength(2);
    for (const event of shown) expect(differs(textOf(event), text)).toBeUndefined();
    const listed = only(await live.list(), 'user.message');
    expect(listed.map((event) => differs(textOf(event), text))).toEqual([undefined]);
    const [seen] = await blocksSeen(mark);
    expect(differs(String(seen?.['text']), text)).toBeUndefined();
    await staysUsable(live);
  });

  it('an image of 3 MB', async () => {
    const { live, mark } = await marked('image');
    const png = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(LARGE, 7)]);
    const data = png.toString('base64');
    const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data } } as const;
    const [sent] = await live.send({
      type: 'user.message',
      content: [image, { type: 'text', text: script({ say: 'a picture' }) }],
    });
    await live.next('session.status_idle');

    expect(only(live.events, 'agent.message').map(textOf)).toEqual(['a picture']);
    const listed = only(await live.list(), 'user.message');
    const all = [sent, ...only(live.events, 'user.message'), ...listed];
    expect(all).toHaveLength(4);
    for (const event of all) {
      const block = event?.type === 'user.message' ? event.content[0] : undefined;
      const source = block?.type === 'image' && block.source.type === 'base64' ? block.source : undefined;
      expect(differs(source?.data, data)).toBeUndefined();
    }
    const seen = (await blocksSeen(mark)).find(({ type }) => type === 'image');
    expect(differs((seen?.['source'] as { data: string } | undefined)?.data, data)).toBeUndefined();
    await staysUsable(live);
  });

  it('initial events of 3 MB', async () => {
    const text = `${script({ say: 'born with it' })}\n${'y'.repeat(LARGE)}`;
    const live = await bed.live({ initial_events: [message(text) as never] });
    await untilIdlePast(server(), live.id, 1);
    const listed = await live.list();
    expect(only(listed, 'user.message').map((event) => differs(textOf(event), text))).toEqual([undefined]);
    expect(only(listed, 'agent.message').map(textOf)).toEqual(['born with it']);
    await staysUsable(live);
  });

  it('a tool result of 90,000 characters', async () => {
    const { live, mark } = await marked('result');
    const output = 'z'.repeat(90_000);
    const command = "head -c 90000 /dev/zero | tr '\\0' z";
    const turn = await live.turn(script({ call: 'bash', input: { command } }, { say: 'long' }));

    const [result] = only(turn, 'agent.tool_result');
    expect(result?.is_error ?? false).toBe(false);
    expect(differs(textOf(result).trim(), output)).toBeUndefined();
    expect(only(await live.list(), 'agent.tool_result')).toEqual([result]);
    const seen = (await blocksSeen(mark)).find(({ type }) => type === 'tool_result');
    expect(differs(textOf(seen), textOf(result))).toBeUndefined();
    await staysUsable(live);
  });

  it('a tool that is given 40,000 characters, and files of megabytes that are read', async () => {
    const { live } = await marked('input');
    const path = '/workspace/big.txt';
    const content = '0123456789abcde\n'.repeat(2500);
    const turn = await live.turn(
      script(
        { call: 'write', input: { file_path: path, content } },
        {
          call: 'bash',
          input: { command: `for i in $(seq 80); do cat ${path}; done > /tmp/all; wc -c < /tmp/all` },
        },
        { call: 'read', input: { file_path: '/tmp/all' } },
        { call: 'bash', input: { command: 'cat /tmp/all' } },
        { say: 'all of it' },
      ),
    );
    expect(only(turn, 'agent.message').map(textOf)).toEqual(['all of it']);
    const [use] = only(turn, 'agent.tool_use');
    expect(differs(String(use?.input['content']), content)).toBeUndefined();
    const results = only(turn, 'agent.tool_result');
    expect(results).toHaveLength(4);
    expect(textOf(results[1]).trim()).toBe(String(80 * content.length));
    for (const result of results) expect(textOf(result).length).toBeLessThan(120_000);
    expect(only(await live.list(), 'agent.tool_result')).toEqual(results);
    await staysUsable(live);
  });

  it.each([
    ['short', 0],
    ['of 20,000 characters each', 20_000],
  ])('a batch of 300 messages, %s', async (_, length) => {
    const { live, mark } = await marked('batch');
    const texts = Array.from({ length: 299 }, (_, n) => `number ${n} ${'w'.repeat(length)}`);
    texts.push(script({ say: 'counted' }));
    const sent = await live.send(...texts.map(message));
    await live.next('session.status_idle');

    expect(new Set(sent.map(({ id }) => id)).size).toBe(300);
    const listed = only(await live.list(), 'user.message');
    expect(listed.map(({ id }) => id)).toEqual(sent.map(({ id }) => id));
    expect(listed.filter((event, n) => textOf(event) !== texts[n])).toEqual([]);
    const shown = only(live.events, 'user.message');
    expect(shown).toHaveLength(600);
    expect(shown.filter((event, n) => textOf(event) !== texts[n % 300])).toEqual([]);
    expect(only(live.events, 'agent.message').map(textOf)).toEqual(['counted']);
    const seen = await blocksSeen(mark);
    expect(seen.map(({ text }) => String(text).length)).toEqual(texts.map((text) => text.length));
    await staysUsable(live);
  });

  it('a batch that never fits is refused for good, and nothing of it is stored', async () => {
    const live = await bed.live();
    await live.turn(script({ say: 'before' }));
    const before = await live.list();
    const from = bed.calls.length;
    const error = await failureOf(live.send(...Array.from({ length: 501 }, () => message('again'))));
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(error.message).toContain('events: ');
    expect(bed.calls.slice(from)).toHaveLength(1);
    expect(await live.list()).toEqual(before);
    await staysUsable(live);
  });
});
