import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Blobs } from '../../src/blobs.ts';
import { type BlobRef, type Draft, type Entry } from '../../src/log.ts';
import { EMPTY, fold, type LoopState } from '../../src/loop/state.ts';
import { BatchTooLargeError } from '../../src/session.ts';
import { pack, unpack, unpackAll } from '../../src/session/pack.ts';
import { AGENT, conversations, created, said } from '../support/conversation.ts';
import { collectLog } from '../support/projection.ts';

const KIB = 1024;
const TEMPORAL_REFUSES_BYTES = 2 * KIB * KIB;

function memory() {
  const kept = new Map<string, string>();
  return {
    kept,
    async put(text: string): Promise<BlobRef> {
      const sha256 = createHash('sha256').update(text).digest('hex');
      kept.set(sha256, text);
      return { sha256, bytes: Buffer.byteLength(text) };
    },
    async get({ sha256, bytes }: BlobRef): Promise<string> {
      const text = kept.get(sha256);
      if (text === undefined || Buffer.byteLength(text) !== bytes) throw new Error('no such blob');
      return text;
    },
  };
}

/** What a draft is when it comes back out of a history: plain JSON. */
function stored(drafts: readonly Draft[]): Draft[] {
  return JSON.parse(JSON.stringify(drafts)) as Draft[];
}

function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}

function toEntries(drafts: readonly Draft[]): readonly Entry[] {
  const log = collectLog();
  log.append(drafts, 1, 'server');
  return log.entries;
}

const big = fc.integer({ min: 200, max: 40 * KIB }).map((length) => 'ä"\n'.repeat(Math.ceil(length / 3)));
const short = fc.string({ maxLength: 300, unit: 'binary' });
const words = fc.oneof(short, big);

/** Events of every kind whose content can be heavy, each property in turn heavy or light. */
const draft: fc.Arbitrary<Draft> = fc.oneof(
  fc.tuple(fc.uuid(), words).map(([id, text]) => said(id, text)),
  fc.tuple(words, words, words, words).map(([system, name, title, value]): Draft => ({
    event: {
      ...(
        created({ ...AGENT, system }) as {
          event: Extract<Extract<Draft, { event: unknown }>['event'], { type: 'x.session_created' }>;
        }
      ).event,
      agent_name: name.slice(0, 256),
      model: name.slice(0, 256),
      title,
      metadata: { key: value },
      mcp_servers: [name.slice(0, 255), 'second'],
    },
  })),
  fc.tuple(fc.uuid(), words, words).map(([id, command, callId]): Draft => ({
    event: { id, type: 'agent.tool_use', name: 'bash', input: { command }, evaluated_permission: 'ask' },
    extra: { blocks: [0], callId },
  })),
  fc.tuple(fc.uuid(), words, words).map(([id, thinking, signature]): Draft => ({
    event: { id, type: 'agent.thinking' },
    extra: { blocks: [3], thinking: { type: 'thinking', thinking, signature } },
  })),
  fc.tuple(fc.uuid(), words).map(([id, text]): Draft => ({
    event: {
      id,
      type: 'user.custom_tool_result',
      custom_tool_use_id: 'call',
      content: [{ type: 'text', text }],
    },
  })),
  fc
    .tuple(
      fc.uuid(),
      fc.oneof(
        short,
        big.map((text) => text.slice(0, 10_000)),
      ),
    )
    .map(([id, deny_message]): Draft => ({
      event: { id, type: 'user.tool_confirmation', tool_use_id: 'call', result: 'deny', deny_message },
    })),
  fc.tuple(fc.uuid(), words).map(([id, system]): Draft => ({
    event: { id, type: 'session.updated', agent: { ...AGENT, system } },
    extra: { mcpServers: ['one', 'x'.repeat(255), 'three'] },
  })),
  fc
    .tuple(fc.uuid(), fc.array(fc.uuid(), { maxLength: 60 }), words)
    .map(([id, event_ids, message]): Draft => ({
      event: {
        id,
        type: 'span.model_request_end',
        model_request_start_id: event_ids[0] ?? 'span',
        is_error: true,
        model_usage: {
          input_tokens: 1,
          output_tokens: 2,
          cache_creation_input_tokens: 3,
          cache_read_input_tokens: 4,
        },
      },
      extra: {
        outcome: {
          stop: 'failed',
          failure: { kind: 'model_overloaded_error', message: message.slice(0, 1000), retryable: true },
        },
      },
    })),
  fc.tuple(fc.uuid(), fc.array(fc.uuid(), { minLength: 1, maxLength: 60 })).map(([id, event_ids]): Draft => ({
    event: {
      id,
      type: 'session.status_idle',
      stop_reason: { type: 'requires_action', event_ids },
      stop_details: null,
    },
  })),
  fc.uuid().map((processed): Draft => ({ processed })),
);
const batch = fc.array(draft, { maxLength: 16 });
const OPTIONS = { numRuns: 40 };

function foldAll(drafts: readonly Draft[]): LoopState {
  return fold(EMPTY, drafts, 1000);
}

/** What the loop remembers after each draft: a later one may cover up what an earlier one lost. */
function statesAfter(drafts: readonly Draft[]): LoopState[] {
  return drafts.map((_, at) => foldAll(drafts.slice(0, at + 1)));
}

describe('packing', () => {
  test('and unpacking gives back what was there', async () => {
    await fc.assert(
      fc.asyncProperty(batch, async (drafts) => {
        const blobs = memory();
        const packed = stored(await pack(drafts, blobs.put));
        const back = await Promise.all(toEntries(packed).map((entry) => unpack(entry, blobs.get)));
        expect(back).toEqual(toEntries(stored(drafts)));
      }),
      OPTIONS,
    );
  });

  test('leaves the loop everything that it reads, also in a crowd', async () => {
    const crowd = said('crowd', 'x'.repeat(600 * KIB));
    await fc.assert(
      fc.asyncProperty(batch, fc.boolean(), async (some, crowded) => {
        const drafts = crowded ? [crowd, ...some] : some;
        const packed = stored(await pack(drafts, memory().put));
        expect(statesAfter(packed)).toEqual(statesAfter(drafts));
      }),
      OPTIONS,
    );
  });

  test('leaves the loop everything in whole conversations, too', async () => {
    await fc.assert(
      fc.asyncProperty(conversations, big, async (carriers, load) => {
        const drafts = carriers.flatMap((carrier) => carrier.drafts);
        const heavy = drafts.map((draft) =>
          'event' in draft ? { ...draft, event: { ...draft.event, load } } : draft,
        );
        const packed = stored(await pack(heavy, memory().put));
        expect(statesAfter(packed)).toEqual(statesAfter(drafts));
      }),
      OPTIONS,
    );
  });

  test('keeps every event small but for what must stay, and the batch below what Temporal takes', async () => {
    await fc.assert(
      fc.asyncProperty(batch, async (drafts) => {
        const packed = await pack(drafts, memory().put);
        for (const one of packed) expect(sizeOf(one)).toBeLessThanOrEqual(32 * KIB);
        expect(sizeOf({ drafts: packed })).toBeLessThan(TEMPORAL_REFUSES_BYTES);
      }),
      OPTIONS,
    );
  });

  test('leaves small events as they are, without a blob', async () => {
    const blobs = memory();
    const drafts: Draft[] = [said('m', 'x'.repeat(15 * KIB)), { processed: 'm' }, created()];
    expect(await pack(drafts, blobs.put)).toEqual(drafts);
    expect(blobs.kept.size).toBe(0);
  });

  test('takes 32 MB of content in one event', async () => {
    const blobs = memory();
    const [packed] = await pack([said('m', 'x'.repeat(32 * KIB * KIB))], blobs.put);
    expect(packed).toMatchObject({
      event: { id: 'm', type: 'user.message' },
      blob: { bytes: expect.any(Number) },
    });
    expect(sizeOf(packed)).toBeLessThan(KIB);
  });

  test('takes a thousand messages of 10 KiB: in a crowd, less counts as heavy', async () => {
    const blobs = memory();
    const drafts = Array.from({ length: 1000 }, (_, at) => said(`m${at}`, `${at} ${'x'.repeat(10 * KIB)}`));
    const packed = await pack(drafts, blobs.put);
    expect(sizeOf(packed)).toBeLessThan(TEMPORAL_REFUSES_BYTES / 4);
    expect(blobs.kept.size).toBe(1000);
  });

  test('refuses what stays too large without its content', async () => {
    const deny = 'no'.repeat(5000);
    const drafts = Array.from({ length: 1000 }, (_, at): Draft => ({
      event: {
        id: `c${at}`,
        type: 'user.tool_confirmation',
        tool_use_id: 'call',
        result: 'deny',
        deny_message: deny,
      },
    }));
    await expect(pack(drafts, memory().put)).rejects.toThrow(BatchTooLargeError);
  });

  test('a long agent name stays where the loop reads it', async () => {
    const name = 'ä'.repeat(256);
    const packed = await pack([created({ ...AGENT, name, system: 'x'.repeat(20 * KIB) })], memory().put);
    expect(packed[0]).toHaveProperty('blob');
    expect(foldAll(packed).agentName).toBe(name);
  });
});

describe('unpacking', () => {
  test('does nothing where nothing was taken out', async () => {
    const [entry] = toEntries([created()]);
    if (!entry) throw new Error('no entry');
    expect(await unpack(entry, () => Promise.reject(new Error('not asked for')))).toBe(entry);
  });

  test('keeps position and time, also of a queued form', async () => {
    const blobs = memory();
    const log = collectLog();
    log.append(await pack([said('m', 'x'.repeat(20 * KIB))], blobs.put), 1000, 'client');
    log.append([{ processed: 'm' }], 2000, 'server');
    const unpacked = await Promise.all(log.entries.map((entry) => unpack(entry, blobs.get)));
    expect(unpacked.map(({ position, event }) => [position, event.processed_at])).toEqual([
      [0, null],
      [1, '1970-01-01T00:00:00.002000Z'],
    ]);
    for (const { event } of unpacked)
      expect(event).toMatchObject({ content: [{ text: 'x'.repeat(20 * KIB) }] });
  });

  test('fails when the content is gone', async () => {
    const [draft] = await pack([said('m', 'x'.repeat(20 * KIB))], memory().put);
    const [entry] = toEntries(draft ? [draft] : []);
    if (!entry) throw new Error('no entry');
    await expect(unpack(entry, memory().get)).rejects.toThrow('no such blob');
  });

  test("reads a session's own blobs", async () => {
    const { put, get } = memory();
    const entries = toEntries(await pack([said('m', 'x'.repeat(20 * KIB))], put));
    const asked: string[] = [];
    const blobs = {
      get: (sessionId: string, ref: BlobRef) => {
        asked.push(sessionId);
        return get(ref);
      },
    } as Blobs;
    expect((await unpackAll(blobs, 'sesn_1', entries))[0]).not.toHaveProperty('blob');
    expect(asked).toEqual(['sesn_1']);
  });
});
