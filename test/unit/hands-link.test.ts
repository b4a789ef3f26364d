import { duplexPair, type Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { HandGoneError, type ToolCall, type ToolOutcome } from '../../src/hands.ts';
import { createLink, type Link } from '../../src/hands/link.ts';
import {
  createLineSplitter,
  parseRequest,
  toLine,
  type Reply,
  type Request,
} from '../../src/hands/runner/protocol.ts';

const never = { signal: new AbortController().signal };
const call: ToolCall = { id: 'call_1', name: 'bash', input: { command: 'x' } };
const fine: ToolOutcome = { content: [{ type: 'text', text: 'fine' }], isError: false };

interface FakeRunner {
  readonly link: Link;
  readonly heard: Request[];
  readonly lines: Duplex[];
  /** What is said of the hand when its line breaks. */
  death: string | undefined;
}

/** A runner that answers by a function; undefined means silence. */
function createFakeRunner(
  answer: (request: Request, line: Duplex) => Reply | undefined,
  greeting = 1,
): FakeRunner {
  const fake: FakeRunner = {
    heard: [],
    lines: [],
    death: undefined,
    link: createLink({ open, findCauseOfDeath }),
  };
  return fake;

  async function findCauseOfDeath(): Promise<string | undefined> {
    return fake.death;
  }
  async function open(): Promise<Duplex> {
    const [worker, runner] = duplexPair();
    fake.lines.push(runner);
    const split = createLineSplitter(1_000_000);
    runner.on('data', (chunk: Buffer) => {
      for (const request of split(chunk).map(parseRequest)) {
        if (request === undefined) throw new Error('the link sent something that is no request');
        fake.heard.push(request);
        const reply = answer(request, runner);
        if (reply !== undefined) runner.write(toLine(reply));
      }
    });
    runner.write(toLine({ type: 'hello', protocol: greeting }));
    return worker;
  }
}

const obey = (request: Request): Reply =>
  request.type === 'execute'
    ? { type: 'outcome', seq: request.seq, outcome: fine }
    : { type: 'done', seq: request.seq };

describe('createLink', () => {
  it('carries many calls over one line', async () => {
    const { link, lines } = createFakeRunner(obey);
    const outcomes = await Promise.all(['a', 'b', 'c'].map((id) => link.execute({ ...call, id }, never)));
    expect(outcomes).toEqual([fine, fine, fine]);
    expect(lines).toHaveLength(1);
    link.close();
  });

  it('asks again by the same id when the line breaks and the hand lives', async () => {
    const runner = createFakeRunner((request, line) => {
      if (runner.lines.length > 2) return obey(request);
      line.destroy();
      return undefined;
    });
    expect(await runner.link.execute(call, never)).toEqual(fine);
    expect(runner.heard.map((request) => request.type === 'execute' && request.call.id)).toEqual([
      'call_1',
      'call_1',
      'call_1',
    ]);
    runner.link.close();
  });

  it('says why the hand is dead when it is', async () => {
    const runner = createFakeRunner((_request, line) => {
      runner.death = 'It ran out of memory.';
      line.destroy();
      return undefined;
    });
    const failed = runner.link.execute(call, never);
    await expect(failed).rejects.toThrow('It ran out of memory.');
    await expect(failed).rejects.toBeInstanceOf(HandGoneError);
    expect(runner.heard).toHaveLength(1);
  });

  it('gives up on a hand that seems alive but cannot be reached', async () => {
    const runner = createFakeRunner((_request, line) => void line.destroy());
    await expect(runner.link.execute(call, never)).rejects.toThrow(/cannot be reached/);
  });

  it('ends an aborted call in the hand before it rejects with the reason', async () => {
    const runner = createFakeRunner((request) => (request.type === 'execute' ? undefined : obey(request)));
    const controller = new AbortController();
    const failed = runner.link.execute(call, { signal: controller.signal });
    await runner.link.ready();
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(failed).rejects.toBe(reason);
    expect(runner.heard.at(-1)).toMatchObject({ type: 'abort', id: 'call_1' });
    runner.link.close();
  });

  it('does not begin a call that was aborted while the line was down', async () => {
    const controller = new AbortController();
    const runner = createFakeRunner((request, line) => {
      if (request.type !== 'execute') return obey(request);
      controller.abort(new Error('enough'));
      line.destroy();
      return undefined;
    });
    await expect(runner.link.execute(call, { signal: controller.signal })).rejects.toThrow('enough');
    await runner.link.ready();
    expect(runner.heard.filter(({ type }) => type === 'execute')).toHaveLength(1);
    runner.link.close();
  });

  it.each([
    ['garbage', 'not json\n'],
    ['a line without end', 'x'.repeat(17 * 1024 * 1024)],
  ])('drops a line on which %s comes', async (_what, nonsense) => {
    const runner = createFakeRunner((_request, line) => {
      runner.death = 'It is broken.';
      line.write(nonsense);
      return undefined;
    });
    await expect(runner.link.execute(call, never)).rejects.toThrow('It is broken.');
  });

  it('refuses a runner that speaks another version', async () => {
    const runner = createFakeRunner(obey, 99);
    runner.death = 'It is of another time.';
    await expect(runner.link.ready()).rejects.toThrow('It is of another time.');
  });

  it('closes its line, and opens another when it is needed again', async () => {
    const runner = createFakeRunner(obey);
    await runner.link.ready();
    runner.link.close();
    expect(await runner.link.execute(call, never)).toEqual(fine);
    expect(runner.lines).toHaveLength(2);
    runner.link.close();
  });
});
