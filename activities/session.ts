/**
 * The activities of a session: they bind the ports to Temporal's heartbeats, cancellation and retries. What they
 * answer is the carrier of the events that they produced. An attempt may be the second one after a killed worker:
 * every effect here is safe to repeat.
 */
import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { InterruptedError, type Brain, type Recall, type Thought } from '../src/brain.ts';
import { handKey } from '../src/hand-key.ts';
import { HandGoneError, type HandRef, type Hands, type ToolOutcome } from '../src/hands.ts';
import type { Body, Draft, Entry } from '../src/log.ts';
import { INTERRUPTED } from '../src/loop.ts';
import type { PreviewSender } from '../src/previews.ts';
import type { Sessions, Slice } from '../src/session.ts';
import type { ResultBlock } from '../src/wire/event.ts';
import type { Carrier, SessionActivities } from './contract.ts';

/** What the activities are made of. */
export interface ActivityDeps {
  readonly sessions: Sessions;
  readonly brain: Brain;
  readonly hands: Hands;
  readonly previews: PreviewSender;
  /** Keeps what is too heavy for the history. */
  readonly pack: (sessionId: string, drafts: readonly Draft[]) => Promise<Draft[]>;
  readonly newId: () => string;
}

const HEARTBEAT_MS = 1000;
/** Of an error's text that goes into the log. */
const LONGEST_REASON = 2000;
/** Short operations end before it would be worth following the log for an interrupt. */
const WATCH_AFTER_MS = 100;
/** Events of the log that are read at a time. */
const PIECE = 20;

/** Makes the activities. */
export function createActivities(deps: ActivityDeps): SessionActivities {
  const { sessions, brain, hands, previews, pack, newId } = deps;

  return {
    async brain({ sessionId, spanId, leftMicrocents }) {
      const { attempt } = Context.current().info;
      const entries = await sessions.getEvents(sessionId, { throughId: spanId });
      const preview: Thought['preview'] = (frame) => previews.send({ sessionId, spanId, frame });
      const think = (signal: AbortSignal) =>
        brain.think({ sessionId, spanId, entries, attempt, leftMicrocents, newId, signal, preview });
      const drafts = await underWatch(sessions, sessionId, think, 'abort');
      return { drafts: await pack(sessionId, drafts) };
    },

    async provision({ sessionId, network }) {
      const { attempt, activityId } = Context.current().info;
      try {
        const key = handKey(sessionId, activityId);
        const hand = await underWatch(sessions, sessionId, (signal) =>
          hands.provision(key, { network }, { signal }),
        );
        return carrier({ id: newId(), type: 'x.hand_provisioned', hand });
      } catch (error) {
        if (error instanceof CancelledFailure || attempt < 3) throw error;
        const reason = error instanceof InterruptedError ? 'interrupted' : messageOf(error);
        return carrier({ id: newId(), type: 'x.hand_failed', reason });
      }
    },

    async execute({ sessionId, callId, hand }) {
      const call = await readCall(sessions, sessionId, callId);
      try {
        const outcome = await underWatch(sessions, sessionId, (signal) =>
          hands.execute(hand, call, { signal }),
        );
        return { drafts: await pack(sessionId, [resultDraft(newId(), callId, outcome)]) };
      } catch (error) {
        if (error instanceof InterruptedError)
          return { drafts: [resultDraft(newId(), callId, textOutcome(INTERRUPTED))] };
        if (!(error instanceof HandGoneError)) throw error;
        return { drafts: lostHand(newId, callId, hand, messageOf(error)) };
      }
    },

    async recall({ sessionId, callId }) {
      const call = await readCall(sessions, sessionId, callId);
      const asked = brain.recall(call.input);
      const outcome =
        'error' in asked
          ? textOutcome(asked.error)
          : await underWatch(sessions, sessionId, () => readBack(sessions, sessionId, asked));
      return { drafts: await pack(sessionId, [resultDraft(newId(), callId, outcome)]) };
    },

    async release({ hand }) {
      await hands.release(hand);
    },
  };
}

/**
 * Runs an operation with heartbeats. Its signal aborts with an InterruptedError when the user interrupts: the log
 * itself says so, which is quicker than Temporal's cancellation (that one rides on heartbeats) and is backed by it.
 *
 * When the worker shuts down or has lost its claim, this attempt ends and another one takes over. A tool is then left
 * alone: a command must not be killed because its harness is, and the next attempt finds it again. A model request
 * is aborted: nobody would hear its answer.
 */
async function underWatch<T>(
  sessions: Sessions,
  sessionId: string,
  run: (signal: AbortSignal) => Promise<T>,
  whenLost: 'leave' | 'abort' = 'leave',
): Promise<T> {
  const { cancellationSignal, heartbeat, log } = attempt();
  const controller = new AbortController();
  const over = new AbortController();
  const beat = setInterval(heartbeat, HEARTBEAT_MS);
  const watch = setTimeout(() => {
    abortOnInterrupt(sessions, sessionId, { controller, over: over.signal }).catch((error: unknown) => {
      log.warn('the log could not be followed; an interrupt will take longer', { error: messageOf(error) });
    });
  }, WATCH_AFTER_MS);
  const lost = new Promise<never>((_, reject) => {
    const onCancel = (): void => {
      const reason: unknown = cancellationSignal.reason;
      if (isUsersWish(reason)) return controller.abort(new InterruptedError('cancelled'));
      if (whenLost === 'abort') controller.abort(reason);
      reject(reason instanceof Error ? reason : new Error(String(reason)));
    };
    if (cancellationSignal.aborted) onCancel();
    else cancellationSignal.addEventListener('abort', onCancel, { once: true, signal: over.signal });
  });
  try {
    return await Promise.race([run(controller.signal), lost]);
  } finally {
    over.abort();
    clearInterval(beat);
    clearTimeout(watch);
  }
}

function attempt(): Pick<Context, 'cancellationSignal' | 'heartbeat' | 'log'> {
  const context = Context.current();
  const { cancellationSignal, log } = context;
  return { cancellationSignal, log, heartbeat: () => context.heartbeat() };
}

interface Watch {
  readonly controller: AbortController;
  readonly over: AbortSignal;
}

async function abortOnInterrupt(
  sessions: Sessions,
  sessionId: string,
  { controller, over }: Watch,
): Promise<void> {
  const { entries } = await sessions.follow(sessionId, over);
  const { loop } = await sessions.getSession(sessionId, 'live');
  if (loop.interrupts.length > 0 || loop.status === 'terminated')
    return controller.abort(new InterruptedError('interrupted'));
  for await (const fresh of entries) {
    if (fresh.some(isEndingEvent)) return controller.abort(new InterruptedError('interrupted'));
  }
}

function isEndingEvent({ event }: Entry): boolean {
  return event.type === 'user.interrupt' || event.type === 'session.status_terminated';
}

/** A worker that shuts down or lost its claim must not pass for a user's interrupt: another attempt takes over. */
function isUsersWish(reason: unknown): boolean {
  return reason instanceof CancelledFailure && reason.message === 'CANCELLED';
}

type Slicing = Exclude<Recall, { error: string }>;

async function readBack(sessions: Sessions, sessionId: string, asked: Slicing): Promise<ToolOutcome> {
  const text = asked.show(await readSlice(sessions, sessionId, asked));
  return { content: [{ type: 'text', text }], isError: false };
}

/** Reads a slice in small pieces, and no further than it is going to be shown: events may be heavy. */
async function readSlice(
  sessions: Sessions,
  sessionId: string,
  { slice, isEnough }: Slicing,
): Promise<readonly Entry[]> {
  const read: Entry[] = [];
  for (let rest: Slice = slice; ;) {
    const piece = await sessions.getEvents(sessionId, { ...rest, limit: PIECE });
    read.push(...piece);
    const last = piece.at(-1);
    if (!last || piece.length < PIECE || isEnough(read)) return read;
    rest = slice.order === 'asc' ? { ...rest, from: last.position + 1 } : { ...rest, to: last.position };
  }
}

async function readCall(
  sessions: Sessions,
  sessionId: string,
  callId: string,
): Promise<{ id: string; name: string; input: Record<string, unknown> }> {
  const [entry] = await sessions.getEvents(sessionId, { throughId: callId, order: 'desc', limit: 1 });
  const event = entry?.event;
  if (event?.type !== 'agent.tool_use')
    throw ApplicationFailure.nonRetryable(`the log has no tool call ${callId}`);
  return { id: callId, name: event.name, input: event.input };
}

function resultDraft(id: string, callId: string, { content, isError }: ToolOutcome): Draft {
  const blocks = [...content] as ResultBlock[];
  return {
    event: { id, type: 'agent.tool_result', tool_use_id: callId, content: blocks, is_error: isError },
  };
}

function lostHand(newId: () => string, callId: string, hand: HandRef, reason: string): Draft[] {
  const text = `The sandbox was lost while the tool ran: ${reason} What the tool had done by then is unknown. The next call gets a fresh sandbox.`;
  return [
    resultDraft(newId(), callId, textOutcome(text)),
    { event: { id: newId(), type: 'x.hand_lost', hand_id: hand.id, reason } },
  ];
}

function textOutcome(text: string): ToolOutcome {
  return { content: [{ type: 'text', text }], isError: true };
}

function carrier(event: Body): Carrier {
  return { drafts: [{ event }] };
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, LONGEST_REASON);
}
