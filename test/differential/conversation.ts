/**
 * What a conversation is made of: plain JSON, so that it can be printed and read. A conversation is a list of scenes,
 * a scene a list of steps. What is sent in the middle of something is sent when that something has been observed, never
 * after a time, so that every engine has to write the same log.
 */
import type { AgentCreateParams } from '@anthropic-ai/sdk/resources/beta/agents/agents';
import type { MessageBlock, ResultBlock } from '../../src/wire/event.ts';

/** An event to send. `call`: which of the calls that are the client's to answer, in the log's order; -1: none there is. */
export type Sent =
  | { readonly type: 'message'; readonly content: readonly MessageBlock[] }
  | { readonly type: 'system'; readonly text: string }
  | { readonly type: 'interrupt'; readonly thread?: 'unknown' }
  | { readonly type: 'confirm'; readonly call: number; readonly deny?: string }
  | {
      readonly type: 'result';
      readonly call: number;
      readonly content: readonly ResultBlock[];
      readonly isError?: true;
    };

/** What can be waited for. Where the session comes to rest before, the rest of the scene is left out. */
export type Awaited =
  /** Nothing happens any more until the client does something. */
  | { readonly for: 'rest' }
  /** The model's answer has come to a hold, and the client has seen what was said before. */
  | { readonly for: 'hold'; readonly hold: string; readonly said: string }
  /** A command has made this file in its sandbox. */
  | { readonly for: 'file'; readonly file: string }
  /** The stream has shown so many of these since the scene began. */
  | { readonly for: 'events'; readonly type: string; readonly count: number }
  /** The judge has been asked since the scene began. */
  | { readonly for: 'judge' };

/** A process that can be killed. */
export type Victim = 'worker' | 'api' | 'hand';

/** One step. */
export type Step =
  | { readonly do: 'send'; readonly events: readonly Sent[] }
  | { readonly do: 'update'; readonly body: Readonly<Record<string, unknown>> }
  /** Sets the budget to what has been spent and this much more; null: to none; -1: to less than was spent. */
  | { readonly do: 'raise'; readonly byCents: number | null }
  | { readonly do: 'compact'; readonly keepAnswers?: number }
  | { readonly do: 'archive' | 'delete' }
  | ({ readonly do: 'await' } & Awaited)
  /** Makes this file in the sandbox, for which a command waits. */
  | { readonly do: 'open'; readonly file: string }
  | { readonly do: 'release'; readonly hold: string }
  /** Brings a session that waits for the client to rest, whatever it waits for. */
  | { readonly do: 'settle'; readonly calls: Settling; readonly cap: number | null }
  /** SIGKILL; the next step is taken while the process is down. */
  | { readonly do: 'kill'; readonly victim: Victim }
  /** Waits until a process that was killed is back. */
  | { readonly do: 'recover'; readonly victim: Exclude<Victim, 'hand'> };

/** How calls that wait for the client are closed. */
export type Settling = 'answer' | 'deny' | 'interrupt';

/** A few steps with one idea. Begins and ends at rest. */
export interface Scene {
  readonly name: string;
  readonly steps: readonly Step[];
}

/** A whole conversation. */
export interface Conversation {
  readonly seed: number;
  readonly index: number;
  /** A word that every request to the model holds. */
  readonly mark: string;
  /** Whether results may come in any order; then no prompt may grow so long that some are cleared. */
  readonly isWide: boolean;
  readonly agent: AgentCreateParams;
  readonly budgetCents: number | null;
  readonly initial: readonly MessageBlock[] | null;
  readonly scenes: readonly Scene[];
}

/** Whether a process is killed that other conversations need, too. */
export function hasKills({ scenes }: Conversation): boolean {
  return scenes.some(({ steps }) => steps.some((step) => step.do === 'kill' && step.victim !== 'hand'));
}
