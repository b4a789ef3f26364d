/**
 * Which client events a session takes in its present state (wire-api sections 11.4 and 13). Pure. The API judges by
 * the log as it is; where a race slips past, the loop has a defined, legal outcome.
 */
import type { LoopState } from './loop/state.ts';
import { invalidRequest, type ApiError } from './wire/error.ts';
import type { EventParams } from './wire/event-params.ts';

/** What the log knows of a tool call: an open one from the loop, an old one from the log. */
export interface KnownCall {
  readonly id: string;
  readonly runner: 'hand' | 'client' | 'log';
  readonly permission: 'allow' | 'ask' | 'deny';
}

/** Refuses the whole batch if one of its events cannot be taken. `calls`: every call that the batch may name. */
export function checkEvents(
  events: readonly EventParams[],
  loop: LoopState,
  calls: readonly KnownCall[],
): void {
  checkSystemMessages(events);
  const isCapped = loop.phase.at === 'capped';
  const waiting = new Set(loop.interrupts.length > 0 ? [] : openOf(loop));
  events.forEach((event, index) => {
    const refuse = (why: string): ApiError =>
      invalidRequest(`Invalid ${event.type} event at events[${index}]: ${why}`);
    switch (event.type) {
      case 'user.message':
        if (isCapped) throw refuse(BUDGET_REACHED);
        if (waiting.size > 0) throw refuse(waitingOn([...waiting]));
        break;
      case 'system.message':
        if (isCapped) throw refuse(BUDGET_REACHED);
        break;
      case 'user.interrupt':
        if (event.session_thread_id && event.session_thread_id !== loop.threadId) {
          throw refuse(`session_thread_id: thread ${event.session_thread_id} not found in this session`);
        }
        waiting.clear();
        break;
      case 'user.tool_confirmation': {
        const call = calls.find(({ id }) => id === event.tool_use_id);
        if (!call) throw refuse(`tool_use_id: no tool use ${event.tool_use_id} in this session`);
        if (call.runner !== 'hand' || call.permission !== 'ask') {
          throw refuse(`tool_use_id: the permission of ${event.tool_use_id} is not \`ask\``);
        }
        if (event.result === 'allow' && event.deny_message) {
          throw refuse('deny_message: only allowed with result `deny`');
        }
        waiting.delete(event.tool_use_id);
        break;
      }
      case 'user.custom_tool_result': {
        const call = calls.find(({ id }) => id === event.custom_tool_use_id);
        if (call?.runner !== 'client') {
          throw refuse(`custom_tool_use_id: no custom tool use ${event.custom_tool_use_id} in this session`);
        }
        waiting.delete(event.custom_tool_use_id);
        break;
      }
    }
  });
}

/** A system message comes last in its request, right behind what it accompanies (wire-api 11.4). */
function checkSystemMessages(events: readonly EventParams[]): void {
  const index = events.findIndex(({ type }) => type === 'system.message');
  if (index === -1) return;
  const before = events[index - 1]?.type;
  if (index === events.length - 1 && (before === 'user.message' || before === 'user.custom_tool_result'))
    return;
  throw invalidRequest(
    `Invalid system.message event at events[${index}]: it must be the last event of a request and directly follow the ` +
      '`user.message`, `user.tool_result` or `user.custom_tool_result` that it accompanies',
  );
}

/** The calls that a batch names. */
export function namedCalls(events: readonly EventParams[]): string[] {
  return events.flatMap((event) => {
    if (event.type === 'user.tool_confirmation') return [event.tool_use_id];
    return event.type === 'user.custom_tool_result' ? [event.custom_tool_use_id] : [];
  });
}

/** As the hosted service words it. */
const BUDGET_REACHED =
  'session budget reached: consumed list cost has met `budget.max_list_cost`; only `user.tool_confirmation`, ' +
  '`user.tool_result`, `user.custom_tool_result`, and `user.interrupt` are accepted until the budget is raised';

function openOf(loop: LoopState): string[] {
  return loop.waitingOn.filter((id) => !loop.answered.includes(id) && loop.confirmations[id] === undefined);
}

function waitingOn(ids: readonly string[]): string {
  return (
    `waiting on responses to events [${ids.join(', ')}]; only \`user.tool_confirmation\`, ` +
    '`user.custom_tool_result`, `user.tool_result`, or `user.interrupt` may be sent'
  );
}
