/**
 * Keeps carriers small: the heavy properties of an event go to the blob store, a reference stays. Ids, types and
 * whatever is short stay inline, which is all that the loop looks at.
 */
import type { Blobs } from '../blobs.ts';
import type { BlobRef, Draft, Entry } from '../log.ts';
import { BatchTooLargeError } from '../session.ts';

/** An event over this size gets its heavy properties taken out. */
const EVENT_LIMIT_BYTES = 16 * 1024;
/** In a batch of many, so small a property counts as heavy. */
const CROWDED_LIMIT_BYTES = 1024;
const BATCH_TARGET_BYTES = 512 * 1024;
/** Below the 2 MiB at which Temporal refuses a payload. */
const BATCH_LIMIT_BYTES = 1536 * 1024;
/** Properties that the loop reads. They are small by construction. */
const ALWAYS_INLINE: ReadonlySet<string> = new Set([
  'agent_name',
  'model',
  'policy',
  'stop_reason',
  'error',
  'model_usage',
  'usage',
  'mcp_servers',
  'deny_message',
  'outcome',
  'charges',
  'compact',
  'budget',
  'mcpServers',
]);

type Properties = Record<string, unknown>;
interface Heavy {
  event: Properties;
  extra: Properties;
}

/** Takes the heavy content out of drafts. Throws BatchTooLargeError when even the rest is too much. */
export async function pack(
  drafts: readonly Draft[],
  put: (text: string) => Promise<BlobRef>,
): Promise<Draft[]> {
  const total = sizeOf(drafts);
  const packed: Draft[] = [];
  for (const draft of drafts) packed.push(await packOne(draft, total > BATCH_TARGET_BYTES, put));
  if (sizeOf(packed) > BATCH_LIMIT_BYTES) {
    throw new BatchTooLargeError(`${drafts.length} events are too many for one request`);
  }
  return packed;
}

/** Puts the content back. */
export async function unpack(entry: Entry, get: (ref: BlobRef) => Promise<string>): Promise<Entry> {
  if (!entry.blob) return entry;
  const heavy = JSON.parse(await get(entry.blob)) as Heavy;
  const { blob: _, ...rest } = entry;
  const event = { ...entry.event, ...heavy.event };
  return entry.extra || Object.keys(heavy.extra).length > 0
    ? { ...rest, event, extra: { ...entry.extra, ...heavy.extra } }
    : { ...rest, event };
}

/** `unpack` for a session's entries. */
export function unpackAll(blobs: Blobs, sessionId: string, entries: readonly Entry[]): Promise<Entry[]> {
  return Promise.all(entries.map((entry) => unpack(entry, (ref) => blobs.get(sessionId, ref))));
}

async function packOne(
  draft: Draft,
  crowded: boolean,
  put: (text: string) => Promise<BlobRef>,
): Promise<Draft> {
  if ('processed' in draft) return draft;
  const limit = crowded ? CROWDED_LIMIT_BYTES : EVENT_LIMIT_BYTES;
  if (sizeOf(draft) <= limit) return draft;
  const event = split(draft.event as unknown as Properties);
  const extra = split((draft.extra ?? {}) as Properties);
  const blob = await put(JSON.stringify({ event: event.heavy, extra: extra.heavy } satisfies Heavy));
  return { event: event.light, ...(draft.extra ? { extra: extra.light } : {}), blob } as unknown as Draft;
}

function split(properties: Properties): { light: Properties; heavy: Properties } {
  const light: Properties = {};
  const heavy: Properties = {};
  for (const [name, value] of Object.entries(properties)) {
    const stays = ALWAYS_INLINE.has(name) || sizeOf(value) <= 256;
    (stays ? light : heavy)[name] = value;
  }
  return { light, heavy };
}

function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value) ?? '');
}
