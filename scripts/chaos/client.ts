/** A client under chaos: it holds a conversation in one session, whatever dies meanwhile, and keeps what it knows of it. */
import type Anthropic from '@anthropic-ai/sdk';
import type { BetaManagedAgentsEventParams } from '@anthropic-ai/sdk/resources/beta/sessions/events';
import { setTimeout as pause } from 'node:timers/promises';
import { script } from '../../src/model/directives.ts';
import { follow, isPassing, listAll, type Event, type Following } from '../compare/follow.ts';

/** What a turn consists of. */
export type TurnKind = 'tool' | 'heavy' | 'queued' | 'interrupt' | 'lookup';

/** All of them. */
export const TURN_KINDS: readonly TurnKind[] = ['tool', 'heavy', 'queued', 'interrupt', 'lookup'];

/** One session, and what its client knows of it. */
export interface Conversation {
  readonly session: string;
  readonly following: Following;
  /** Ids of events that the server has acknowledged, in that order. */
  readonly acknowledged: string[];
  /** Whether a turn is under way as far as the client knows. */
  isAtWork: boolean;
  /** Whether all turns have ended. */
  isDone: boolean;
}

/** What a conversation takes. */
export interface ConversationOptions {
  readonly number: number;
  readonly kinds: readonly TurnKind[];
  /** Ends all patience. */
  readonly patience: AbortSignal;
}

/** In every sandbox: a line for each command that has run. */
export const MARKS_FILE = 'marks.log';

const MODEL_MS = 100;
/** More than a carrier takes. */
const HEAVY_CHARS = 20_000;
const AGAIN_AFTER_MS = 100;

/** Begins a conversation; it is over when `done` resolves. */
export function converse(
  client: Anthropic,
  session: string,
  options: ConversationOptions,
): { readonly conversation: Conversation; readonly done: Promise<void> } {
  const conversation: Conversation = {
    session,
    following: follow(client, session),
    acknowledged: [],
    isAtWork: false,
    isDone: false,
  };
  return { conversation, done: hold(client, conversation, options) };
}

async function hold(
  client: Anthropic,
  conversation: Conversation,
  { number, kinds, patience }: ConversationOptions,
): Promise<void> {
  const talk = createTalk(client, conversation, patience);
  for (const [index, kind] of kinds.entries()) {
    const mark = `s${number}-${index}`;
    const from = conversation.following.seen.length;
    conversation.isAtWork = true;
    await TURNS[kind](talk, mark, from);
    conversation.isAtWork = false;
    if (patience.aborted) return;
  }
  conversation.isDone = true;
}

/** What a turn is made with. */
interface Talk {
  say(mark: string, lines: readonly object[], besides?: string): Promise<void>;
  send(event: BetaManagedAgentsEventParams, isThere: (event: Event) => boolean): Promise<void>;
  until(isIt: (event: Event) => boolean, from: number): Promise<Event | undefined>;
  /** Waits until this many messages from index `from` on are taken up, and an idle that ends the turn follows. */
  ends(marks: readonly string[], from: number): Promise<void>;
}

const TURNS: Readonly<Record<TurnKind, (talk: Talk, mark: string, from: number) => Promise<void>>> = {
  async tool(talk, mark, from) {
    await talk.say(mark, [bash(mark), { say: `did ${mark}` }]);
    await talk.ends([mark], from);
  },
  async heavy(talk, mark, from) {
    const fill = `sleep 0.3; head -c ${HEAVY_CHARS} /dev/zero | tr '\\0' x`;
    await talk.say(mark, [bash(mark, fill), { say: `did ${mark}` }], 'x'.repeat(HEAVY_CHARS));
    await talk.ends([mark], from);
  },
  async queued(talk, mark, from) {
    const second = `${mark}b`;
    await talk.say(mark, [bash(mark), { say: `did ${mark}` }]);
    await talk.until(({ type }) => type === 'agent.tool_use', from);
    await talk.say(second, [bash(second), { say: `did ${second}` }]);
    await talk.ends([mark, second], from);
  },
  async interrupt(talk, mark, from) {
    const before = [{ say: 'To begin with.' }, { stop: 'pause_turn' }];
    await talk.say(mark, [...before, bash(mark, 'sleep 600'), { say: 'never said' }]);
    await talk.until(({ type }) => type === 'agent.tool_use', from);
    await pause(500);
    await talk.send({ type: 'user.interrupt' }, ({ type }) => type === 'user.interrupt');
    await talk.ends([mark], from);
  },
  async lookup(talk, mark, from) {
    await talk.say(mark, [{ call: 'lookup', input: {} }, bash(mark), { say: `did ${mark}` }]);
    const call = await talk.until(({ type }) => type === 'agent.custom_tool_use', from);
    if (!call) return;
    await talk.until((event) => waitsFor(event, call.id), from);
    const content = [{ type: 'text' as const, text: 'found' }];
    await talk.send(
      { type: 'user.custom_tool_result', custom_tool_use_id: call.id, content },
      (event) => event.type === 'user.custom_tool_result' && event.custom_tool_use_id === call.id,
    );
    await talk.ends([mark], from);
  },
};

function bash(mark: string, then = 'sleep 0.3'): object {
  return { call: 'bash', input: { command: `echo ${mark} >> ${MARKS_FILE}; ${then}; echo ran ${mark}` } };
}

function createTalk(
  client: Anthropic,
  { session, following, acknowledged }: Conversation,
  patience: AbortSignal,
): Talk {
  async function until(isIt: (event: Event) => boolean, from: number): Promise<Event | undefined> {
    while (!patience.aborted) {
      const found = await following.until(isIt, { from, withinMs: AGAIN_AFTER_MS });
      if (found) return found.event;
    }
    return undefined;
  }

  /** Until the server has acknowledged it, or it is in the log without that. */
  const send: Talk['send'] = async (event, isThere) => {
    const from = following.seen.length;
    while (!patience.aborted) {
      try {
        const { data = [] } = await client.beta.sessions.events.send(session, { events: [event] });
        return void acknowledged.push(...data.map(({ id }) => id));
      } catch (error) {
        if (!isPassing(error) && !(await isListed(isThere, from))) throw error;
      }
      if (await isListed(isThere, from)) return;
      await pause(AGAIN_AFTER_MS);
    }
  };

  /** Whether it has come into the log since. */
  async function isListed(isThere: (event: Event) => boolean, from: number): Promise<boolean> {
    const known = new Set(following.seen.slice(0, from).map(({ event }) => event.id));
    while (!patience.aborted) {
      try {
        return (await listAll(client, session)).some((event) => !known.has(event.id) && isThere(event));
      } catch (error) {
        if (!isPassing(error)) throw error;
        await pause(AGAIN_AFTER_MS);
      }
    }
    return false;
  }

  return {
    until,
    send,
    say: (mark, lines, besides = '') => {
      const text = `This is ${mark}.\n${script({ delayMs: MODEL_MS }, ...(lines as never[]))}\n${besides}`;
      return send({ type: 'user.message', content: [{ type: 'text', text }] }, (event) =>
        isAbout(event, mark),
      );
    },
    async ends(marks, from) {
      await until((event) => marks.some((mark) => isAbout(event, mark)), from);
      const isTakenUp = (): number =>
        Math.max(...marks.map((mark) => following.seen.findIndex(({ event }) => isAbout(event, mark))));
      await until(() => marks.every((mark) => following.seen.some(({ event }) => isAbout(event, mark))), 0);
      await until(isEnd, isTakenUp());
    },
  };
}

/** An idle that the session does not leave by itself, or by an answer. */
function isEnd(event: Event): boolean {
  return event.type === 'session.status_idle' && event.stop_reason.type !== 'requires_action';
}

function waitsFor(event: Event, call: string): boolean {
  return (
    event.type === 'session.status_idle' &&
    event.stop_reason.type === 'requires_action' &&
    event.stop_reason.event_ids.includes(call)
  );
}

/** Whether an event is the message with this mark. */
export function isAbout(event: Event, mark: string): boolean {
  return (
    event.type === 'user.message' &&
    event.content.some((block) => block.type === 'text' && block.text.startsWith(`This is ${mark}.`))
  );
}
