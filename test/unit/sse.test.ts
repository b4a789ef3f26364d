import { Stream } from '@anthropic-ai/sdk/core/streaming';
import { describe, expect, test } from 'vitest';
import { PING_FRAME, STREAM_HEADERS, toFrame } from '../../src/http/sse.ts';

async function read(text: string): Promise<unknown[]> {
  const read: unknown[] = [];
  for await (const event of Stream.fromSSEResponse(new Response(text), new AbortController()))
    read.push(event);
  return read;
}

describe('a frame', () => {
  test('has the line that names it, one line of data, and an empty one', () => {
    expect(toFrame('agent.message', { id: 'a' })).toBe('event: agent.message\ndata: {"id":"a"}\n\n');
  });

  test('has an id where there is a position to resume after', async () => {
    expect(toFrame('a', { type: 'a' }, 0)).toBe('id: 0\nevent: a\ndata: {"type":"a"}\n\n');
    expect(await read(toFrame('agent.message', { type: 'agent.message' }, 7))).toEqual([
      { type: 'agent.message' },
    ]);
  });

  test.each([
    'plain',
    'two\nlines',
    'carriage\r\nreturn',
    '\u2028 and \u2029',
    '😀',
    'data: x\n\nevent: error',
    '',
  ])('carries %j through the official client', async (text) => {
    const event = { type: 'agent.message', text };
    expect(await read(toFrame(event.type, event) + toFrame(event.type, event))).toEqual([event, event]);
  });

  test('survives being cut anywhere', async () => {
    const event = { type: 'agent.message', text: 'größer 😀' };
    const bytes = new TextEncoder().encode(toFrame(event.type, event));
    for (let at = 0; at <= bytes.length; at += 1) {
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(bytes.slice(0, at));
          controller.enqueue(bytes.slice(at));
          controller.close();
        },
      });
      const seen: unknown[] = [];
      for await (const one of Stream.fromSSEResponse(new Response(body), new AbortController()))
        seen.push(one);
      expect(seen).toEqual([event]);
    }
  });
});

test('a ping is skipped by the official client', async () => {
  expect(await read(PING_FRAME)).toEqual([]);
});

test('an error frame makes the official client throw', async () => {
  const error = { type: 'error', error: { type: 'api_error', message: 'broke' } };
  await expect(read(toFrame('error', error))).rejects.toMatchObject({ type: 'api_error' });
});

test('the headers say that it is a stream and that nobody may hold it back', () => {
  expect(STREAM_HEADERS['content-type']).toMatch(/^text\/event-stream/);
  expect(STREAM_HEADERS['cache-control']).toContain('no-cache');
  expect(STREAM_HEADERS['x-accel-buffering']).toBe('no');
});
