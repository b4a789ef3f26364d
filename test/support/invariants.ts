/** What every log must satisfy, whatever happened to its session. Numbered as in docs/architecture.md. */
import { expect } from 'vitest';
import type { Entry } from '../../src/log.ts';
import { toMessages } from '../../src/brain/messages.ts';

/** Checks a whole log. `atRest`: the session waits, so nothing may be half done. */
export function checkLog(entries: readonly Entry[], atRest: boolean): void {
  positionsHaveNoHoles(entries);
  timesNeverGoBack(entries);
  eventsAppearOnce(entries);
  callsGetOneResult(entries, atRest);
  idleNamesOpenCalls(entries);
  usageStandsBeforeIdle(entries);
  spansAreClosed(entries, atRest);
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

/** 8. Every prefix gives messages that the Messages API takes: each tool use is answered in the very next message. */
function validMessages(prefix: readonly Entry[]): void {
  const messages = toMessages(prefix);
  if (messages.length > 0) expect(messages[0]?.role).toBe('user');
  messages.forEach((message, index) => {
    const next = messages[index + 1];
    const uses = message.content.flatMap((block) => (block.type === 'tool_use' ? [block.id] : []));
    const results = (next?.content ?? []).flatMap((block) =>
      block.type === 'tool_result' ? [block.tool_use_id] : [],
    );
    if (message.role === 'assistant') expect(results.sort()).toEqual(uses.sort());
    expect(next?.role).not.toBe(message.role);
    expect(message.content.length).toBeGreaterThan(0);
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
