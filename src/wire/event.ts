/**
 * Session events as the wire has them (wire-api section 11). Our own types, so that workflow code can use them;
 * `test/unit/wire-parity.test.ts` assigns them to the official SDK's.
 */

import type { Budget, Money } from './budget.ts';

/** A piece of text. */
export interface TextBlock {
  type: 'text';
  text: string;
}

/** Where the bytes of an image or a document are. */
export type BlockSource =
  | { type: 'base64'; media_type: string; data: string }
  | { type: 'url'; url: string }
  | { type: 'text'; media_type: 'text/plain'; data: string };

/** An image. */
export interface ImageBlock {
  type: 'image';
  source: Exclude<BlockSource, { type: 'text' }>;
}

/** A document. */
export interface DocumentBlock {
  type: 'document';
  source: BlockSource;
  title?: string | null;
  context?: string | null;
}

/** A search result handed back by a custom tool. */
export interface SearchResultBlock {
  type: 'search_result';
  source: string;
  title: string;
  content: TextBlock[];
  citations: { enabled: boolean };
}

/** What a user message may hold. */
export type MessageBlock = TextBlock | ImageBlock | DocumentBlock;

/** What a tool result may hold. */
export type ResultBlock = MessageBlock | SearchResultBlock;

/** Why a thread or session went idle (wire-api 11.6). */
export type StopReason =
  | { type: 'end_turn' }
  | { type: 'requires_action'; event_ids: string[] }
  | { type: 'retries_exhausted' }
  | { type: 'budget_reached' }
  | { type: 'refusal' };

/** More about a refusal; null on every other stop. */
export interface StopDetails {
  type: 'refusal';
  category: 'cyber' | 'bio' | 'frontier_llm' | 'reasoning_extraction' | 'general_harms' | null;
  explanation: string | null;
}

/** Token usage of one model request. */
export interface SpanUsage {
  input_tokens: number;
  output_tokens: number;
  cache_creation_input_tokens: number;
  cache_read_input_tokens: number;
}

/** Usage of the whole session (wire-api 27.1). */
export interface SessionUsage {
  input_tokens: number;
  output_tokens: number;
  cache_read_input_tokens: number;
  cache_creation: { ephemeral_5m_input_tokens: number; ephemeral_1h_input_tokens: number };
  server_tool_use: { web_search_requests: number; web_fetch_requests: number };
  active_seconds: number;
  /** Left out where a model has no list price. */
  list_cost?: Money;
}

/** An error inside a session (wire-api section 14). */
export type SessionError = {
  message: string;
  retry_status: { type: 'retrying' | 'exhausted' | 'terminal' };
} & (
  | {
      type:
        | 'unknown_error'
        | 'model_overloaded_error'
        | 'model_rate_limited_error'
        | 'model_request_failed_error'
        | 'billing_error'
        | 'compaction_limit_reached_error';
    }
  | { type: 'mcp_connection_failed_error'; mcp_server_name: string }
);

/** The evaluated permission of a tool call (wire-api 7.3). */
export type Permission = 'allow' | 'ask' | 'deny';

/** Which policy decided. */
export type Evaluation =
  | { type: 'always_allow' }
  | { type: 'always_ask' }
  | {
      type: 'auto';
      evaluated_permission: { type: 'allow' } | { type: 'ask' | 'deny'; reason_code: string };
    };

interface Base<Type extends string> {
  id: string;
  type: Type;
}

/** A session's agent as `session.updated` carries it: opaque here. */
export type AgentSnapshot = Readonly<Record<string, unknown>>;

/** Events that only a client writes and whose `processed_at` is null until they are taken up. */
export type QueuedEvent =
  | (Base<'user.message'> & { content: MessageBlock[] })
  | (Base<'user.interrupt'> & { session_thread_id?: string | null })
  | (Base<'user.tool_confirmation'> & {
      tool_use_id: string;
      result: 'allow' | 'deny';
      deny_message?: string | null;
      session_thread_id?: string | null;
    })
  | (Base<'system.message'> & { content: TextBlock[] });

/** Every event that can stand in a log, without `processed_at` (that is the carrier's time). */
export type EventBody =
  | QueuedEvent
  | (Base<'user.custom_tool_result'> & {
      custom_tool_use_id: string;
      content?: ResultBlock[];
      is_error?: boolean | null;
      session_thread_id?: string | null;
    })
  | (Base<'agent.message'> & { content: TextBlock[] })
  | Base<'agent.thinking'>
  | Base<'agent.thread_context_compacted'>
  | (Base<'agent.tool_use'> & {
      name: string;
      input: Record<string, unknown>;
      evaluated_permission: Permission;
      evaluation?: Evaluation;
    })
  | (Base<'agent.custom_tool_use'> & { name: string; input: Record<string, unknown> })
  | (Base<'agent.tool_result'> & { tool_use_id: string; content?: ResultBlock[]; is_error?: boolean | null })
  | Base<'session.status_running'>
  | Base<'session.status_rescheduled'>
  | Base<'session.status_terminated'>
  | (Base<'session.status_idle'> & { stop_reason: StopReason; stop_details: StopDetails | null })
  | (Base<
      | 'session.thread_status_running'
      | 'session.thread_status_rescheduled'
      | 'session.thread_status_terminated'
    > & {
      agent_name: string;
      session_thread_id: string;
    })
  | (Base<'session.thread_status_idle'> & {
      agent_name: string;
      session_thread_id: string;
      stop_reason: StopReason;
      stop_details: StopDetails | null;
    })
  | (Base<'session.usage'> & { usage: SessionUsage; budget: Budget | null })
  | (Base<'session.error'> & { error: SessionError })
  | (Base<'session.updated'> & {
      agent?: AgentSnapshot;
      metadata?: Record<string, string>;
      title?: string | null;
      budget?: Budget | null;
    })
  | Base<'span.model_request_start'>
  | (Base<'span.model_request_end'> & {
      model_request_start_id: string;
      is_error: boolean | null;
      model_usage: SpanUsage;
    });

/** An event as the API answers it. */
export type WireEvent = EventBody & { processed_at: string | null };

/** Stream-only frames: a preview of an event that is being made (wire-api 12.1). */
export type Preview =
  | { type: 'event_start'; event: { type: 'agent.message' | 'agent.thinking'; id: string } }
  | {
      type: 'event_delta';
      event_id: string;
      delta: { type: 'content_delta'; index: number; content: TextBlock };
    };

/** What a preview can be asked for. */
export const DELTA_TYPES = ['agent.message', 'agent.thinking'] as const;

/** Every type that the list's `types[]` filter knows: the wire's 42 stored types without `session.deleted`. */
export const LISTABLE_TYPES: readonly string[] = [
  ...['message', 'interrupt', 'tool_confirmation', 'custom_tool_result', 'tool_result', 'define_outcome'].map(
    (name) => `user.${name}`,
  ),
  'system.message',
  ...[
    'message',
    'thinking',
    'tool_use',
    'tool_result',
    'mcp_tool_use',
    'mcp_tool_result',
    'custom_tool_use',
    'thread_context_compacted',
    'thread_message_sent',
    'thread_message_received',
  ].map((name) => `agent.${name}`),
  ...[
    'status_running',
    'status_idle',
    'status_rescheduled',
    'status_terminated',
    'error',
    'updated',
    'usage',
    'thread_created',
    'thread_status_running',
    'thread_status_idle',
    'thread_status_rescheduled',
    'thread_status_terminated',
  ].map((name) => `session.${name}`),
  ...[
    'model_request_start',
    'model_request_end',
    'outcome_evaluation_start',
    'outcome_evaluation_ongoing',
    'outcome_evaluation_end',
  ].map((name) => `span.${name}`),
  ...[
    'created',
    'status_running',
    'status_idle',
    'status_ended',
    'error',
    'phase_started',
    'phase_ended',
  ].map((name) => `workflow_run.${name}`),
];
