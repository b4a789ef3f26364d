/**
 * The session log, pure: what is written (drafts), what is read (entries) and the one projection from the first
 * to the second. Shared by workflow, API, CLI and tests; no clock, no I/O, no Temporal.
 *
 * Glossary. *Draft*: an event on its way into the log, without position and time; a carrier (one durable write)
 * holds a few. *Entry*: an event in the log. *Position*: the rank of an entry, from 0, without holes, the same on
 * every read. *Hidden* events (`x.…`) are the harness's own facts: they have positions but never leave the server.
 */
import { formatMicros } from './wire/time.ts';
import type { Budget } from './wire/budget.ts';
import type { AgentSnapshot, EventBody, SpanUsage, StopDetails, WireEvent } from './wire/event.ts';

/** How the log becomes a context window. Token counts are those that the model reports. */
export interface ContextPolicy {
  /** From so many tokens in the window, contents of older tool results are cleared. 0: never. */
  readonly clearAtTokens: number;
  /** How many of the newest tool results a clearing leaves whole. */
  readonly keepResults: number;
  /** From so many tokens in the window, the conversation is summed up before the next request. 0: never. */
  readonly compactAtTokens: number;
  /** How many of the newest answers, with their results, stand beside a summary word for word. */
  readonly keepAnswers: number;
}

/** List price of a model, in US cents for a million tokens. */
export interface ModelPrice {
  readonly input: number;
  readonly output: number;
  readonly cacheWrite5m: number;
  readonly cacheWrite1h: number;
  readonly cacheRead: number;
}

/** What a session's usage costs: fixed at its creation, so that the same log always costs the same. */
export interface Prices {
  /** By model id: every model that the session may ask. One that is missing has no list price. */
  readonly models: Readonly<Record<string, ModelPrice>>;
  /** US cents for an hour of running. */
  readonly runtimeHour: number;
}

/** How a session is to be run; fixed at its creation. */
export interface SessionPolicy {
  /** How often a failing model request is tried in all. */
  readonly modelAttempts: number;
  /** First pause between two tries; doubles each time. */
  readonly modelRetryBaseMs: number;
  /** Whether a hand is provisioned before it is needed (to measure the difference). */
  readonly provision: 'lazy' | 'eager';
  /** What network its hands get. */
  readonly network: 'none' | 'open';
  /** Where messages that come in the middle of a turn are taken up: at its end, or before its next model request. */
  readonly steering: 'turn' | 'round';
  readonly context: ContextPolicy;
  readonly prices: Prices;
  /** The model that judges calls under the policy `auto`; null: nobody does, the client is asked. */
  readonly judgeModel: string | null;
}

/** What became of the files of a hand's workspace when a call that may change them had ended. */
export type HandSnapshot = {
  id: string;
  type: 'x.hand_snapshot';
  hand_id: string;
  /** The call. It has such an event if it was ever given to the hand, and its outcome is known. */
  tool_use_id: string;
} & (
  | {
      snapshot: string;
      /** Of all files. */
      bytes: number;
      /** What was kept for it that was not kept before. */
      added_bytes: number;
      /** By the hand's clock: of calls that ran side by side, the greatest is behind all of them. */
      taken_us: number;
    }
  /** Why there is none. */
  | { reason: string }
);

/** The harness's own facts in the log. */
export type HiddenBody =
  | {
      id: string;
      type: 'x.session_created';
      agent: AgentSnapshot;
      agent_name: string;
      model: string;
      mcp_servers: readonly string[];
      environment_id: string;
      workspace_id: string;
      title: string | null;
      metadata: Record<string, string>;
      thread_id: string;
      policy: SessionPolicy;
      budget: Budget | null;
    }
  /**
   * What stands before it is the log of another session, up to that position. `snapshot`: what the first hand behind it
   * begins with; left out: it begins empty. `added_bytes`: what keeping it takes.
   */
  | {
      id: string;
      type: 'x.session_forked';
      session_id: string;
      position: number;
      snapshot?: string;
      bytes?: number;
      added_bytes?: number;
    }
  /** `snapshot`: what its workspace began as; null: empty. Left out by versions that took no snapshots. */
  | {
      id: string;
      type: 'x.hand_provisioned';
      hand: { id: string; kind: string };
      snapshot?: string | null;
    }
  | HandSnapshot
  | { id: string; type: 'x.compaction_requested'; keep_answers?: number }
  | { id: string; type: 'x.hand_failed'; reason: string }
  | { id: string; type: 'x.hand_lost'; hand_id: string; reason: string };

/** Anything that can stand in the log. */
export type Body = EventBody | HiddenBody;

/** Why a model request failed, as the loop needs to know it. */
export interface ModelFailure {
  readonly kind:
    | 'model_overloaded_error'
    | 'model_rate_limited_error'
    | 'model_request_failed_error'
    | 'billing_error'
    | 'compaction_limit_reached_error'
    | 'unknown_error';
  readonly message: string;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  /** The prompt does not fit into the model's window. */
  readonly tooLong?: true;
}

/** Tokens that cost something without being usage of the span's own request as the wire counts it. */
export interface Charge {
  readonly model: string;
  readonly usage: SpanUsage;
}

/** How a compaction is to be made. */
export interface CompactOrder {
  /** Grows when even the request for a summary, or what it left, was too long; 0: nothing is left out of it. */
  readonly trim: number;
  readonly keepAnswers: number;
  /** Clients' wishes that it fulfils; with any, it is made anew from the whole log and not from an older summary. */
  readonly requests: readonly string[];
}

/** What a compaction wrote. */
export interface Compaction {
  readonly summary: string;
  /** The last position that the summary stands for; what comes behind it is still given word for word. */
  readonly through: number;
}

/** How a model request ended. */
export interface ModelOutcome {
  readonly stop:
    | 'end_turn'
    | 'tool_use'
    | 'pause_turn'
    | 'refusal'
    | 'max_tokens'
    | 'failed'
    | 'interrupted'
    /** The request summed the conversation up. */
    | 'compacted'
    /** Not asked: attempts whose worker died may have spent what was left of the budget. */
    | 'unaffordable';
  readonly details?: StopDetails;
  readonly failure?: ModelFailure;
}

/** What the harness keeps beside an event to rebuild the model's own answer; never served. */
export interface Extra {
  /** Where the event's blocks stood in the model's answer. */
  readonly blocks?: readonly number[];
  /** A thinking block with its signature. */
  readonly thinking?: Readonly<Record<string, unknown>>;
  /** The model's own id of a tool call. */
  readonly callId?: string;
  /** A tool call in a few words, for people who look at the engine. */
  readonly summary?: string;
  /** On `span.model_request_end`. */
  readonly outcome?: ModelOutcome;
  /** On `span.model_request_end`: what it cost besides its `model_usage`. */
  readonly charges?: readonly Charge[];
  /** On `span.model_request_start`: this request sums the conversation up. */
  readonly compact?: CompactOrder;
  /** On `agent.thread_context_compacted`. */
  readonly compaction?: Compaction;
  /** On `agent.tool_use`: the call reads the session's own log; no hand is needed. */
  readonly runner?: 'log';
  /** On `system.message`: it came with a tool's result, so it is taken up with that, not with the next message. */
  readonly withResult?: true;
  /** On `session.updated`: the names of the agent's MCP servers, for the loop, which sees no content. */
  readonly mcpServers?: readonly string[];
}

/** The heavy part of an event, kept outside the carrier. */
export interface BlobRef {
  readonly sha256: string;
  readonly bytes: number;
}

/** What a carrier holds: a new event, or the news that a queued one has been taken up. */
export type Draft =
  | { readonly event: Body; readonly extra?: Extra; readonly blob?: BlobRef }
  | { readonly processed: string };

/** An event in the log. */
export interface Entry {
  readonly position: number;
  readonly event: Body & { processed_at: string | null };
  readonly extra?: Extra;
  readonly blob?: BlobRef;
}

/** Who wrote a carrier. Only clients' events can be repeated, so only theirs are de-duplicated. */
export type Author = 'client' | 'server';

/**
 * How many client events back a repeated write is recognised. Repeats come within seconds; the loop and the
 * projection must forget alike, or they would disagree about what is in the log.
 */
export const REMEMBERED_IDS = 1000;

const QUEUED_TYPES: ReadonlySet<string> = new Set([
  'user.message',
  'user.interrupt',
  'user.tool_confirmation',
  'system.message',
]);

/** Whether an event waits with `processed_at: null` until it is taken up (wire-api 11.3). */
export function isQueuedType(type: string): boolean {
  return QUEUED_TYPES.has(type);
}

/** Whether an event never leaves the server. */
export function isHidden(event: { readonly type: string }): boolean {
  return event.type.startsWith('x.');
}

/** Narrows an entry's event to one that the wire knows. */
export function toWire(entry: Entry): WireEvent | undefined {
  return isHidden(entry.event) ? undefined : (entry.event as WireEvent);
}

/** How long a log is, and what it takes to tell which of the next drafts become entries of it. */
export interface Tally {
  readonly length: number;
  /** Ids of the last client events, oldest first. */
  readonly clientIds: readonly string[];
  /** Ids of events that wait to be taken up. */
  readonly queued: readonly string[];
}

/** The tally of a log without entries. */
export const NOTHING_WRITTEN: Tally = { length: 0, clientIds: [], queued: [] };

/** Counts a log's entries without keeping them. */
export interface Counter {
  readonly length: number;
  /** Nothing more becomes an entry: the session is terminated. */
  readonly isOver: boolean;
  /** Takes a draft in; answers whether it becomes an entry. */
  admits(draft: Draft, author: Author): boolean;
  tally(): Tally;
}

/**
 * Starts to count where a tally leaves off. It is the one rule of what a log is made of, whoever applies it:
 * - a client event that is there already is dropped (a repeated write);
 * - the news that an event has been taken up counts once, and only when that event was queued;
 * - nothing follows `session.status_terminated`.
 */
export function createCounter(from: Tally = NOTHING_WRITTEN): Counter {
  const clientIds = new Set(from.clientIds);
  const queued = new Set(from.queued);
  let { length } = from;
  let isOver = false;

  function isNew(draft: Draft, author: Author): boolean {
    if ('processed' in draft) return queued.delete(draft.processed);
    const { id, type } = draft.event;
    if (author === 'server') return true;
    if (clientIds.has(id)) return false;
    clientIds.add(id);
    const [oldest] = clientIds;
    if (clientIds.size > REMEMBERED_IDS && oldest !== undefined) clientIds.delete(oldest);
    if (isQueuedType(type)) queued.add(id);
    return true;
  }

  return {
    get length() {
      return length;
    },
    get isOver() {
      return isOver;
    },
    admits(draft, author) {
      if (isOver || !isNew(draft, author)) return false;
      length += 1;
      isOver = 'event' in draft && draft.event.type === 'session.status_terminated';
      return true;
    },
    tally: () => ({ length, clientIds: [...clientIds], queued: [...queued] }),
  };
}

/** The projection's running state over one session: how far it has come, and what is still queued. */
export interface Projection {
  /** How many entries there have been. */
  readonly length: number;
  /** The last of them is `session.status_terminated`: none follows. */
  readonly isOver: boolean;
  /** Adds one carrier and answers the entries that came of it. `timeUs`: when it was written, microseconds. */
  append(drafts: readonly Draft[], timeUs: number, author: Author): readonly Entry[];
}

/**
 * Starts a projection. The same carriers give the same entries, ids, positions and times on every read:
 * - what becomes an entry, the counter says;
 * - times never go back, and entries of one carrier are a microsecond apart (measured on the real service);
 * - a queued event appears twice with the same id: first with `processed_at` null, then taken up.
 */
export function createProjection(): Projection {
  const counter = createCounter();
  const queued = new Map<string, Entry>();
  let lastUs = 0;

  function entryOf(draft: Draft, author: Author): Entry | undefined {
    const waiting = 'processed' in draft ? queued.get(draft.processed) : undefined;
    if (!counter.admits(draft, author)) return undefined;
    const position = counter.length - 1;
    const at = formatMicros(lastUs);
    if ('processed' in draft) {
      queued.delete(draft.processed);
      return waiting && { ...waiting, position, event: { ...waiting.event, processed_at: at } };
    }
    const { event, ...rest } = draft;
    const isQueued = author === 'client' && isQueuedType(event.type);
    const entry = { ...rest, position, event: { ...event, processed_at: isQueued ? null : at } };
    if (isQueued) queued.set(event.id, entry);
    return entry;
  }

  return {
    get length() {
      return counter.length;
    },
    get isOver() {
      return counter.isOver;
    },
    append(drafts, timeUs, author) {
      const added: Entry[] = [];
      for (const draft of drafts) {
        const before = lastUs;
        lastUs = Math.max(timeUs, lastUs + 1);
        const entry = entryOf(draft, author);
        if (!entry) {
          lastUs = before;
          continue;
        }
        added.push(entry);
      }
      return added;
    },
  };
}

/** The usage of a request that used nothing: failed or interrupted ones. */
export const NO_USAGE: SpanUsage = {
  input_tokens: 0,
  output_tokens: 0,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
};

/** How many tokens a prompt had, wherever they came from. */
export function promptTokens(usage: SpanUsage): number {
  return usage.input_tokens + usage.cache_creation_input_tokens + usage.cache_read_input_tokens;
}
