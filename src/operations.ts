/**
 * What a session's harness does, for any engine: it binds the ports of brain, hands and session. Each operation
 * answers the drafts that it produced. An attempt may be a second one after a killed process: every effect here is
 * safe to repeat.
 */
import { InterruptedError, type Brain, type Recall, type Thought } from './brain.ts';
import { handKey } from './hand-key.ts';
import { HandGoneError, type HandRef, type Hands, type ToolOutcome } from './hands.ts';
import type { Body, Draft, Entry } from './log.ts';
import { INTERRUPTED } from './loop.ts';
import type { PreviewSender } from './previews.ts';
import { readPromptLog } from './prompt-log.ts';
import type { Sessions, Slice } from './session.ts';
import { mayChangeFiles } from './snapshot.ts';
import type { Snapshots } from './snapshots.ts';
import type { ResultBlock } from './wire/event.ts';

/** What the operations are made of. */
export interface OperationDeps {
  readonly sessions: Sessions;
  readonly brain: Brain;
  readonly hands: Hands;
  readonly snapshots: Snapshots;
  readonly previews: PreviewSender;
  /** Keeps what is too heavy for a carrier. */
  readonly pack: (sessionId: string, drafts: readonly Draft[]) => Promise<Draft[]>;
  readonly newId: () => string;
}

/** One attempt at an operation, as the engine sees it. */
export interface Attempt {
  /** From 1: those before failed, or ended with their process. */
  readonly number: number;
  /** Aborts when this attempt is over although the user wishes nothing: another one takes over. */
  readonly lost: AbortSignal;
  /**
   * Runs what takes long. The signal aborts with an InterruptedError when the user interrupts. When the attempt is
   * lost, this rejects; `leave` then leaves what runs alone: a command must not be killed because its harness is, and
   * the next attempt finds it again. `abort` aborts it: nobody would hear a model's answer.
   */
  watch<T>(run: (signal: AbortSignal) => Promise<T>, whenLost: 'leave' | 'abort'): Promise<T>;
}

/** How an attempt can end early. */
export interface Endings {
  /** Aborts with an InterruptedError. */
  readonly interrupted: AbortSignal;
  /** Aborts when another attempt takes over. */
  readonly lost: AbortSignal;
}

/** Carries out what `Attempt.watch` promises. */
export async function runUntil<T>(
  { interrupted, lost }: Endings,
  run: (signal: AbortSignal) => Promise<T>,
  whenLost: 'leave' | 'abort',
): Promise<T> {
  const over = new AbortController();
  const signal = whenLost === 'abort' ? AbortSignal.any([interrupted, lost]) : interrupted;
  const ended = new Promise<never>((_, reject) => {
    const onLost = (): void =>
      reject(lost.reason instanceof Error ? lost.reason : new Error(String(lost.reason)));
    if (lost.aborted) onLost();
    else lost.addEventListener('abort', onLost, { once: true, signal: over.signal });
  });
  try {
    return await Promise.race([run(signal), ended]);
  } finally {
    over.abort();
  }
}

/** No further attempt can do better. */
export class HopelessError extends Error {
  override readonly name = 'HopelessError';
}

/** The operations. What they throw is tried again, but for HopelessError. */
export interface Operations {
  /** One model request: reads the log up to `spanId`. */
  think(
    input: { readonly sessionId: string; readonly spanId: string; readonly leftMicrocents: number | null },
    attempt: Attempt,
  ): Promise<readonly Draft[]>;
  /** Makes the session's hand. The same `provisioning` finds the one that a lost attempt made. */
  provision(
    input: { readonly sessionId: string; readonly provisioning: string; readonly network: 'none' | 'open' },
    attempt: Attempt,
  ): Promise<readonly Draft[]>;
  /** Runs one tool call in the hand; the call's input is read from the log. */
  execute(
    input: { readonly sessionId: string; readonly callId: string; readonly hand: HandRef },
    attempt: Attempt,
  ): Promise<readonly Draft[]>;
  /** Runs a call that reads the session's own log. */
  recall(
    input: { readonly sessionId: string; readonly callId: string },
    attempt: Attempt,
  ): Promise<readonly Draft[]>;
  /** Frees the hand. */
  release(hand: HandRef): Promise<void>;
}

/** A hand that could not be made so often is given up. */
const PROVISION_ATTEMPTS = 3;
/** Of an error's text that goes into the log. */
const LONGEST_REASON = 2000;
/** Events of the log that are read at a time. */
const PIECE = 20;

/** Makes the operations. */
export function createOperations(deps: OperationDeps): Operations {
  const { sessions, brain, hands, snapshots, previews, pack, newId } = deps;

  return {
    async think({ sessionId, spanId, leftMicrocents }, { number, watch }) {
      const entries = await readPromptLog(sessions, sessionId, spanId);
      const preview: Thought['preview'] = (frame) => previews.send({ sessionId, spanId, frame });
      const thought = { sessionId, spanId, entries, attempt: number, leftMicrocents, newId, preview };
      const drafts = await watch((signal) => brain.think({ ...thought, signal }), 'abort');
      await previews.flush();
      return pack(sessionId, drafts);
    },

    async provision({ sessionId, provisioning, network }, { number, lost, watch }) {
      try {
        const key = handKey(sessionId, provisioning);
        const made = await watch(async (signal) => {
          const hand = await hands.provision(key, { network }, { signal });
          return { hand, snapshot: await snapshots.restore(sessionId, hand, signal) };
        }, 'leave');
        return only({ id: newId(), type: 'x.hand_provisioned', ...made });
      } catch (error) {
        if (lost.aborted || number < PROVISION_ATTEMPTS) throw error;
        const reason = error instanceof InterruptedError ? 'interrupted' : messageOf(error);
        return only({ id: newId(), type: 'x.hand_failed', reason });
      }
    },

    async execute({ sessionId, callId, hand }, { watch }) {
      const call = await readCall(sessions, sessionId, callId);
      const withSnapshot = async (outcome: ToolOutcome): Promise<Draft[]> => {
        const result = resultDraft(newId(), callId, outcome);
        if (!mayChangeFiles(call.name)) return [result];
        const after = (signal: AbortSignal) => snapshots.after({ sessionId, callId, hand, signal });
        return [result, await watch(after, 'leave')];
      };
      try {
        const outcome = await watch((signal) => hands.execute(hand, call, { signal }), 'leave');
        return await pack(sessionId, await withSnapshot(outcome));
      } catch (error) {
        if (error instanceof InterruptedError) return withSnapshot(textOutcome(INTERRUPTED));
        if (!(error instanceof HandGoneError)) throw error;
        return lostHand(newId, callId, hand, messageOf(error));
      }
    },

    async recall({ sessionId, callId }, { watch }) {
      const call = await readCall(sessions, sessionId, callId);
      const asked = brain.recall(call.input);
      const outcome =
        'error' in asked
          ? textOutcome(asked.error)
          : await watch(() => readBack(sessions, sessionId, asked), 'leave');
      return pack(sessionId, [resultDraft(newId(), callId, outcome)]);
    },

    release: (hand) => hands.release(hand),
  };
}

/** An error's text, as far as it goes into the log. */
export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, LONGEST_REASON);
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
  if (event?.type !== 'agent.tool_use') throw new HopelessError(`the log has no tool call ${callId}`);
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

function only(event: Body): Draft[] {
  return [{ event }];
}
