import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createLineSplitter,
  parseReply,
  parseRequest,
  toLine,
  type Reply,
  type Request,
} from '../../src/hands/runner/protocol.ts';

describe('createLineSplitter', () => {
  it('gives the same lines however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), fc.array(fc.integer({ min: 1, max: 7 })), (texts, cuts) => {
        const lines = texts.map((text) => JSON.stringify(text));
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
        const split = createLineSplitter(1_000_000);
        const found: string[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const end = at + (cuts[turn % cuts.length] ?? bytes.length);
          found.push(...split(bytes.subarray(at, end)));
          at = end;
        }
        expect(found).toEqual(lines);
      }),
    );
  });

  it('refuses a line that is too long, also one that never ends', () => {
    expect(() => createLineSplitter(4)(Buffer.from('12345\n'))).toThrow('longer than 4 bytes');
    const split = createLineSplitter(4);
    split(Buffer.from('123'));
    expect(() => split(Buffer.from('45'))).toThrow('longer than 4 bytes');
  });

  it('counts each line by itself', () => {
    expect(createLineSplitter(4)(Buffer.from('1234\n5678\n'))).toEqual(['1234', '5678']);
  });
});

describe('parseReply', () => {
  const outcome = {
    content: [
      { type: 'text', text: 'x' },
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AA==' } },
    ],
    isError: false,
  } as const;

  it('reads what toLine writes', () => {
    const replies: Reply[] = [
      { type: 'hello', protocol: 1 },
      { type: 'hello', protocol: 1, holds: true },
      { type: 'held', seq: 3 },
      { type: 'busy', seq: 4 },
      { type: 'done', seq: 1 },
      { type: 'outcome', seq: 2, outcome },
    ];
    for (const reply of replies) expect(parseReply(toLine(reply).trim())).toEqual(reply);
  });

  it.each([
    ['no JSON', 'hello'],
    ['no object', '[]'],
    ['an unknown type', '{"type":"x","seq":1}'],
    ['no number', '{"type":"done","seq":"1"}'],
    ['an outcome without content', '{"type":"outcome","seq":1,"outcome":{"isError":false}}'],
    [
      'an outcome with an unknown block',
      '{"type":"outcome","seq":1,"outcome":{"isError":false,"content":[{"type":"video"}]}}',
    ],
    ['an outcome that does not say how it went', '{"type":"outcome","seq":1,"outcome":{"content":[]}}'],
  ])('refuses %s', (_what, line) => {
    expect(parseReply(line)).toBeUndefined();
  });
});

describe('parseRequest', () => {
  it('reads a call and drops what it does not know', () => {
    const call = { id: 'a', name: 'bash', input: { command: 'x' } };
    const line = JSON.stringify({ type: 'execute', seq: 1, call: { ...call, extra: 1 } });
    expect(parseRequest(line)).toEqual({ type: 'execute', seq: 1, call });
  });

  it.each<Request>([
    { type: 'ping', seq: 1 },
    { type: 'abort', seq: 2, id: 'a' },
    { type: 'hold', seq: 3, quietMs: 900_000 },
    { type: 'end', seq: 4 },
  ])('reads what toLine writes: %j', (request) => {
    expect(parseRequest(toLine(request).trim())).toEqual(request);
  });

  it('refuses a hold that does not say how long it was quiet', () => {
    expect(parseRequest('{"type":"hold","seq":1}')).toBeUndefined();
  });

  it('refuses a call without an id', () => {
    expect(parseRequest('{"type":"execute","seq":1,"call":{"name":"bash","input":{}}}')).toBeUndefined();
  });
});
