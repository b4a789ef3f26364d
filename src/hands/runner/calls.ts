/**
 * The calls of one hand: each id runs at most once, however often and from wherever it is asked for. A call does
 * not belong to the connection that asked for it; it runs on when that breaks.
 */
import type { ToolCall, ToolOutcome } from '../../hands.ts';
import { createGate, type Hold } from './hold.ts';
import type { Journal } from './journal.ts';

/** Carries out one call. Never rejects: what goes wrong is an outcome. */
export type RunTool = (call: ToolCall, signal: AbortSignal) => Promise<ToolOutcome>;

/** The calls of one hand. */
export interface Calls {
  /** Starts the call, joins it when it runs, or answers from the journal when it is over. */
  execute(call: ToolCall): Promise<ToolOutcome>;
  /** Ends a running call and resolves when it is over. A call that does not run is left alone. */
  abort(id: string): Promise<void>;
  /**
   * Gives the word that no call begins: those that come meanwhile wait, and the journal does not know them. Undefined
   * while that would disturb somebody: a call is under way or was less than `quietMs` ago (the start counts as one),
   * another hold stands, or an outcome would be lost with this process.
   */
  hold(quietMs: number): Hold | undefined;
  /**
   * Does something to the hand before its first call: calls that come meanwhile wait for the end of it. False, and
   * nothing is done, once a call has begun, whoever asks and however late.
   */
  prepare(work: () => Promise<void>): Promise<boolean>;
}

/** Binds a way to run tools to a journal. */
export function createCalls(journal: Journal, runTool: RunTool): Calls {
  const running = new Map<
    string,
    { readonly outcome: Promise<ToolOutcome>; readonly controller: AbortController }
  >();
  // Outcomes that a full disk kept out of the journal: they live as long as the runner does.
  const unrecorded = new Map<string, ToolOutcome>();
  const gate = createGate();
  let quietSinceMs = performance.now();
  let preparing: Promise<boolean> | undefined;
  let hasBegun = false;

  const run = async (call: ToolCall, signal: AbortSignal): Promise<ToolOutcome> => {
    if (!(await gate.pass(signal))) return toFailure(`${call.name}: aborted before it began`);
    // Nothing may come between the end of the wait and the next line.
    for (let one = preparing; one !== undefined; one = preparing) await one.catch(() => undefined);
    hasBegun = true;
    const known = unrecorded.get(call.id);
    if (known !== undefined) return known;
    const entry = await journal.read(call.id);
    if (entry.kind === 'finished') return entry.outcome;
    if (entry.kind === 'interrupted') return unknownOutcome(call);
    try {
      await journal.started(call);
    } catch (error) {
      return toFailure(
        `The ${call.name} call was not carried out: the sandbox could not record it (${String(error)}).`,
      );
    }
    const outcome = await runTool(call, signal);
    await journal.finished(call.id, outcome).catch(() => unrecorded.set(call.id, outcome));
    return outcome;
  };

  return {
    execute(call) {
      const joined = running.get(call.id);
      if (joined !== undefined) return joined.outcome;
      const controller = new AbortController();
      const outcome = run(call, controller.signal).finally(() => {
        running.delete(call.id);
        quietSinceMs = performance.now();
      });
      running.set(call.id, { outcome, controller });
      return outcome;
    },
    async abort(id) {
      const call = running.get(id);
      if (call === undefined) return;
      call.controller.abort(new Error('aborted'));
      await call.outcome;
    },
    hold(quietMs) {
      const isQuiet = running.size === 0 && performance.now() - quietSinceMs >= quietMs;
      return isQuiet && unrecorded.size === 0 ? gate.hold() : undefined;
    },
    async prepare(work) {
      for (let one = preparing; one !== undefined; one = preparing) await one.catch(() => undefined);
      if (hasBegun) return false;
      const isUntouched = async (): Promise<boolean> => {
        if (!(await journal.isEmpty())) return false;
        await work();
        return true;
      };
      preparing = isUntouched().finally(() => (preparing = undefined));
      return await preparing;
    },
  };
}

function unknownOutcome(call: ToolCall): ToolOutcome {
  return toFailure(
    `The outcome of this ${call.name} call is unknown: it was started, but the process that ran it in the sandbox ` +
      'died before the result was recorded. It was not run again. Check what it did before repeating it.',
  );
}

function toFailure(text: string): ToolOutcome {
  return { content: [{ type: 'text', text }], isError: true };
}
