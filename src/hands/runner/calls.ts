/**
 * The calls of one hand: each id runs at most once, however often and from wherever it is asked for. A call does
 * not belong to the connection that asked for it; it runs on when that breaks.
 */
import type { ToolCall, ToolOutcome } from '../../hands.ts';
import type { Journal } from './journal.ts';

/** Carries out one call. Never rejects: what goes wrong is an outcome. */
export type RunTool = (call: ToolCall, signal: AbortSignal) => Promise<ToolOutcome>;

/** The calls of one hand. */
export interface Calls {
  /** Starts the call, joins it when it runs, or answers from the journal when it is over. */
  execute(call: ToolCall): Promise<ToolOutcome>;
  /** Ends a running call and resolves when it is over. A call that does not run is left alone. */
  abort(id: string): Promise<void>;
}

/** Binds a way to run tools to a journal. */
export function createCalls(journal: Journal, runTool: RunTool): Calls {
  const running = new Map<
    string,
    { readonly outcome: Promise<ToolOutcome>; readonly controller: AbortController }
  >();
  // Outcomes that a full disk kept out of the journal: they live as long as the runner does.
  const unrecorded = new Map<string, ToolOutcome>();

  const run = async (call: ToolCall, signal: AbortSignal): Promise<ToolOutcome> => {
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
      const outcome = run(call, controller.signal).finally(() => running.delete(call.id));
      running.set(call.id, { outcome, controller });
      return outcome;
    },
    async abort(id) {
      const call = running.get(id);
      if (call === undefined) return;
      call.controller.abort(new Error('aborted'));
      await call.outcome;
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
