/** Plays conversations on two servers at the same time, and compares what can be read of them afterwards. */
import { isDeepStrictEqual } from 'node:util';
import { promptTokens } from '../../src/log.ts';
import { checkLog } from '../support/invariants.ts';
import { findDifference, findFault, type Difference } from './compare.ts';
import { hasKills, type Conversation } from './conversation.ts';
import { makeConversation } from './generate.ts';
import { play, type Transcript } from './play.ts';
import { CLEAR_AT_TOKENS, startSide, type Side, type SideSettings } from './side.ts';
import { createMeeting, type Meeting } from './strikes.ts';

/** What is played on what. */
export interface RunOptions {
  readonly seed: number;
  /** Which conversations of the seed. */
  readonly indexes: readonly number[];
  readonly left: SideSettings;
  readonly right: SideSettings;
  /** How many at a time. */
  readonly abreast: number;
  /** Holds each log against the invariants, too, which takes longer than to play it. */
  readonly checkInvariants?: boolean;
  /** Ends the run early, and stops both servers. */
  readonly signal?: AbortSignal;
  readonly onFinding?: (finding: Finding) => void;
  readonly onProgress?: (done: number) => void;
}

/** Something that is not as it should be. */
export interface Finding {
  readonly conversation: Conversation;
  /** What differs; undefined: one of the servers is at fault by itself. */
  readonly difference?: Difference;
  readonly fault?: string;
}

/** What came of it. */
export interface Report {
  readonly conversations: number;
  /** Entries of logs, on one side. */
  readonly events: number;
  /** How many there were of each type; idles by their reason. */
  readonly seen: Readonly<Record<string, number>>;
  /** SIGKILLs on one side, and how often a conversation was hit by one. */
  readonly kills: {
    readonly worker: number;
    readonly api: number;
    readonly hand: number;
    readonly hits: number;
  };
  readonly findings: readonly Finding[];
}

interface Match {
  readonly left: Side;
  readonly right: Side;
  readonly options: RunOptions;
  readonly findings: Finding[];
  readonly kills: { worker: number; api: number; hand: number; hits: number };
  readonly seen: Record<string, number>;
  events: number;
  done: number;
}

/** Runs it. */
export async function runDifferential(options: RunOptions): Promise<Report> {
  const { seed, indexes } = options;
  const conversations = indexes.map((index) => makeConversation(seed, index));
  const left = await startSide(options.left);
  try {
    const right = await startSide(options.right);
    try {
      return await Promise.race([
        compareAll({ left, right, options }, conversations),
        rejection(options.signal),
      ]);
    } finally {
      await right.stop();
    }
  } finally {
    await left.stop();
  }
}

function rejection(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(new Error('broken off')), { once: true });
  });
}

async function compareAll(
  sides: Pick<Match, 'left' | 'right' | 'options'>,
  conversations: readonly Conversation[],
): Promise<Report> {
  const kills = { worker: 0, api: 0, hand: 0, hits: 0 };
  const match: Match = { ...sides, findings: [], kills, seen: {}, events: 0, done: 0 };
  const { abreast } = match.options;
  // Those that kill play among themselves: a kill hits everybody.
  const peaceful = conversations.filter((one) => !hasKills(one));
  const others = conversations.filter(hasKills);
  const queue = [...peaceful];
  const playOn = async (): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift()) await compareOne(match, next);
  };
  await Promise.all(Array.from({ length: abreast }, playOn));
  for (let from = 0; from < others.length; from += abreast) {
    const group = others.slice(from, from + abreast);
    const meetings = {
      left: createMeeting(match.left, group.length),
      right: createMeeting(match.right, group.length),
    };
    await Promise.all(group.map((one) => compareOne(match, one, meetings)));
    kills.worker += meetings.left.killed.worker;
    kills.api += meetings.left.killed.api;
  }
  const { findings, events, seen } = match;
  return { conversations: conversations.length, events, seen, kills, findings };
}

async function compareOne(
  match: Match,
  conversation: Conversation,
  meetings?: { readonly left: Meeting; readonly right: Meeting },
): Promise<void> {
  const [left, right] = await Promise.allSettled([
    playOn(match.left, conversation, meetings?.left),
    playOn(match.right, conversation, meetings?.right),
  ]);
  const find = (finding: Omit<Finding, 'conversation'>): void => {
    match.findings.push({ conversation, ...finding });
    match.options.onFinding?.({ conversation, ...finding });
  };
  match.done += 1;
  match.options.onProgress?.(match.done);
  if (left.status === 'rejected' || right.status === 'rejected') {
    for (const [name, one] of Object.entries({ left, right }))
      if (one.status === 'rejected') find({ fault: `${name}: ${textOf(one.reason)}` });
    return;
  }
  const { hits } = left.value;
  match.events += left.value.entries.length;
  for (const { event } of left.value.entries) {
    const reason = event.type === 'session.status_idle' ? ` (${event.stop_reason.type})` : '';
    const name = `${event.type}${reason}`;
    match.seen[name] = (match.seen[name] ?? 0) + 1;
  }
  match.kills.hand += hits.hand;
  match.kills.hits += hits.hand + hits.worker + hits.api;
  for (const [name, { value }] of Object.entries({ left, right })) {
    const fault =
      (match.options.checkInvariants ? brokenInvariant(value) : undefined) ??
      findFault(value) ??
      tooLong(conversation, value);
    if (fault !== undefined) find({ fault: `${name}: ${fault}` });
  }
  const difference = findDifference(left.value, right.value, {
    withoutSettings: !haveSameSettings(match.options),
  });
  if (difference) find({ difference });
}

async function playOn(side: Side, conversation: Conversation, meeting?: Meeting): Promise<Transcript> {
  const alone = (victim: 'worker' | 'api'): never => {
    throw new Error(`nobody is there to kill the ${victim}`);
  };
  try {
    return await play(conversation, side, meeting?.strike ?? alone);
  } finally {
    meeting?.leave();
  }
}

function brokenInvariant({ entries }: Transcript): string | undefined {
  try {
    checkLog(entries, false);
    return undefined;
  } catch (error) {
    return `an invariant does not hold: ${textOf(error)}`;
  }
}

/** What is cleared from a prompt depends on the order of results: where that is free, nothing may be cleared. */
function tooLong({ isWide }: Conversation, { entries }: Transcript): string | undefined {
  const isOver = entries.some(
    ({ event }) =>
      event.type === 'span.model_request_end' && promptTokens(event.model_usage) >= CLEAR_AT_TOKENS,
  );
  return isWide && isOver
    ? 'the conversation is too long for one whose results come in any order'
    : undefined;
}

function haveSameSettings({ left, right }: RunOptions): boolean {
  return isDeepStrictEqual(left.env, right.env);
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
