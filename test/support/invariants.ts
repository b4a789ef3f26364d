/** What every log must satisfy, whatever happened to its session. Numbered as in docs/architecture.md. */
import { expect } from 'vitest';
import type { Entry } from '../../src/log.ts';
import type { Message } from '../../src/brain/messages.ts';
import { toPrompt, type Prompt } from '../../src/brain/request.ts';
import { checkAnswerable, checkPrompt } from '../../src/model/rules.ts';
import { readMessagesRequest } from '../../src/model/shape.ts';
import { leftMicrocents } from '../../src/loop/usage.ts';
import type { SessionView } from '../../src/session.ts';
import { foldView } from '../../src/view.ts';

/** Checks a whole log. `atRest`: the session waits, so nothing may be half done. */
export function checkLog(entries: readonly Entry[], atRest: boolean): void {
  positionsHaveNoHoles(entries);
  timesNeverGoBack(entries);
  eventsAppearOnce(entries);
  callsGetOneResult(entries, atRest);
  idleNamesOpenCalls(entries);
  usageStandsBeforeIdle(entries);
  spansAreClosed(entries, atRest);
  nothingFollowsIdle(entries);
  messagesAreTakenInOrder(entries);
  noRequestOverBudget(entries);
  compactionsStandAlone(entries);
  for (let end = 0; end <= entries.length; end += 1) validMessages(entries.slice(0, end));
}

/** 1. Positions are 0, 1, 2, … */
function positionsHaveNoHoles(entries: readonly Entry[]): void {
  expect(entries.map(({ position }) => position)).toEqual(entries.map((_, index) => index));
}

/** 2. Times strictly increase. */
function timesNeverGoBack(entries: readonly Entry[]): void {
  const times = entries.flatMap(({ event }) => event.processed_at ?? []);
  expect(times).toEqual([...new Set(times)].sort());
}

/** 3. An id appears once, or twice when it was queued first: without and then with its time. */
function eventsAppearOnce(entries: readonly Entry[]): void {
  const seen = new Map<string, (string | null)[]>();
  for (const { event } of entries) seen.set(event.id, [...(seen.get(event.id) ?? []), event.processed_at]);
  for (const [id, times] of seen) {
    expect(times.length, id).toBeLessThanOrEqual(2);
    if (times.length === 2) expect(times[0], id).toBeNull();
    if (times.length === 2) expect(times[1], id).not.toBeNull();
  }
}

/** 4. Every tool use gets exactly one result that counts. */
function callsGetOneResult(entries: readonly Entry[], atRest: boolean): void {
  const open = openCallsAfter(entries);
  const written = entries.flatMap(({ event }) =>
    event.type === 'agent.tool_result' ? [event.tool_use_id] : [],
  );
  expect(written).toEqual([...new Set(written)]);
  const stop = lastIdle(entries);
  if (atRest && stop?.type !== 'requires_action') expect([...open]).toEqual([]);
}

/** 5. `requires_action` names exactly the calls that are open at that moment. */
function idleNamesOpenCalls(entries: readonly Entry[]): void {
  entries.forEach(({ event }, index) => {
    if (event.type !== 'session.status_idle') return;
    const named = event.stop_reason.type === 'requires_action' ? event.stop_reason.event_ids : [];
    expect(new Set(named)).toEqual(openCallsAfter(entries.slice(0, index)));
  });
}

/** 6. `session.usage` stands directly before every `session.status_idle`, the thread's idle before that. */
function usageStandsBeforeIdle(entries: readonly Entry[]): void {
  entries.forEach(({ event }, index) => {
    if (event.type !== 'session.status_idle') return;
    expect(entries[index - 1]?.event.type).toBe('session.usage');
    expect(entries[index - 2]?.event.type).toBe('session.thread_status_idle');
  });
}

/** 7. Every span that began ends once, before the next begins and before the session rests. */
function spansAreClosed(entries: readonly Entry[], atRest: boolean): void {
  let open: string | undefined;
  for (const { event } of entries) {
    if (event.type === 'span.model_request_start') {
      expect(open).toBeUndefined();
      open = event.id;
    }
    if (event.type === 'span.model_request_end') {
      expect(event.model_request_start_id).toBe(open);
      open = undefined;
    }
    if (event.type === 'session.status_idle') expect(open).toBeUndefined();
  }
  if (atRest) expect(open).toBeUndefined();
}

/** 8. Every prefix gives a prompt that the Messages API takes: each tool use is answered in the very next message. */
function validMessages(prefix: readonly Entry[]): void {
  const prompt = toPrompt(prefix);
  if (prompt && prefix.at(-1)?.event.type === 'span.model_request_start') takenByModel(prompt);
  const messages = (prompt?.request.messages ?? []) as Message[];
  if (messages.length > 0) expect(messages[0]?.role).toBe('user');
  messages.forEach((message, index) => {
    const next = messages[index + 1];
    const uses = message.content.flatMap((block) => (block.type === 'tool_use' ? [block.id] : []));
    const results = (next?.content ?? []).flatMap((block) =>
      block.type === 'tool_result' ? [block.tool_use_id] : [],
    );
    if (message.role === 'assistant') expect(results.sort()).toEqual(uses.sort());
    expect(next?.role).not.toBe(message.role);
    if (next?.role === 'system') expect(message.role).toBe('user');
    expect(message.content.length).toBeGreaterThan(0);
  });
}

/** The scripted model is as strict as the real API. Asked only where a request is made: it takes a while. */
function takenByModel({ request }: Prompt): void {
  const { betas: _, ...body } = request;
  const read = readMessagesRequest(JSON.parse(JSON.stringify(body)));
  checkPrompt(read);
  checkAnswerable(read);
}

/** 9. What stands next after an idle was written by a client, says that its event was taken up, or marks a copy. */
function nothingFollowsIdle(entries: readonly Entry[]): void {
  entries.forEach(({ event }, index) => {
    const next = entries[index + 1];
    if (event.type === 'session.status_idle' && next) expect(BY_CLIENTS).toContain(next.event.type);
  });
}

const BY_CLIENTS = [
  'x.session_forked',
  'user.message',
  'user.interrupt',
  'user.tool_confirmation',
  'user.custom_tool_result',
  'system.message',
  'session.updated',
  'session.thread_status_terminated',
  'x.compaction_requested',
];

/** 10. Messages are taken up once, in the order in which they came. */
function messagesAreTakenInOrder(entries: readonly Entry[]): void {
  const messages = entries.filter(({ event }) => event.type === 'user.message');
  const came = messages.filter(({ event }) => event.processed_at === null).map(({ event }) => event.id);
  const taken = messages.filter(({ event }) => event.processed_at !== null).map(({ event }) => event.id);
  expect(taken).toEqual(came.slice(0, taken.length));
}

/** 11. No model request starts once the budget is spent: it is overshot by one request at most. */
function noRequestOverBudget(entries: readonly Entry[]): void {
  let view: SessionView | undefined;
  for (const entry of entries) {
    if (entry.event.type === 'span.model_request_start' && view?.loop.budget)
      expect(leftMicrocents(view.loop), `before ${entry.event.id}`).toBeGreaterThan(0);
    view = foldView(view, [entry]);
  }
}

/** 12. A compaction stands alone in its span, and was ordered by the span's start. */
function compactionsStandAlone(entries: readonly Entry[]): void {
  entries.forEach(({ event, extra }, index) => {
    if (event.type !== 'agent.thread_context_compacted') return;
    const end = entries.slice(index).findIndex((one) => one.event.type === 'span.model_request_end') + index;
    const start = entries.findLastIndex(
      (one, at) => at < index && one.event.type === 'span.model_request_start',
    );
    expect(entries[start]?.extra?.compact).toBeDefined();
    expect(extra?.compaction?.through).toBeLessThan(start);
    const inside = entries.slice(start + 1, end).filter(({ event: { type } }) => type.startsWith('agent.'));
    expect(inside).toHaveLength(1);
  });
}

function openCallsAfter(entries: readonly Entry[]): Set<string> {
  const open = new Set<string>();
  for (const { event } of entries) {
    if (event.type === 'agent.tool_use' || event.type === 'agent.custom_tool_use') open.add(event.id);
    if (event.type === 'agent.tool_result') open.delete(event.tool_use_id);
    if (event.type === 'user.custom_tool_result') open.delete(event.custom_tool_use_id);
  }
  // A confirmed call is no longer the client's to answer; it runs before the next idle.
  return open;
}

function lastIdle(entries: readonly Entry[]): { type: string } | undefined {
  const event = entries.findLast(({ event }) => event.type === 'session.status_idle')?.event;
  return event?.type === 'session.status_idle' ? event.stop_reason : undefined;
}
