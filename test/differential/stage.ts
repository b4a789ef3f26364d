/** What scenes are written with: names, calls of tools, lines of scripts, and the commonest steps. */
import type { AgentCreateParams } from '@anthropic-ai/sdk/resources/beta/agents/agents';
import { script } from '../../src/model/directives.ts';
import type { MessageBlock } from '../../src/wire/event.ts';
import type { Sent, Step } from './conversation.ts';
import type { Dice } from './dice.ts';

/** A line of a script. */
export type Line = Readonly<Record<string, unknown>>;

/** The tools besides bash, by what happens to their calls. Bash is always free. */
export interface Policies {
  readonly free: readonly [string, ...string[]];
  readonly asked: string;
  readonly judged: string;
  readonly off: string;
}

/** A conversation that is being written. */
export interface Stage {
  readonly dice: Dice;
  readonly model: string;
  /**
   * Whether calls may run side by side, so that the order of their results is free. What is cleared from the window
   * depends on that order, so such a conversation stays so small that nothing is.
   */
  readonly isWide: boolean;
  /** A name that nothing else has, in any conversation. */
  name(): string;
  policies: Policies;
}

/** Lines before a step that may leave no answer: else the model would read this script and the next as one. */
export const BEFORE: readonly Line[] = [{ say: 'To begin with.' }, { stop: 'pause_turn' }];

const PICTURE =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

/** An agent's tools under these policies. */
export function toolsUnder({ asked, judged, off }: Policies): NonNullable<AgentCreateParams['tools']> {
  return [
    {
      type: 'agent_toolset_20260401',
      configs: [
        { name: 'web_search', enabled: false },
        { name: 'web_fetch', enabled: false },
        { name: asked as 'write', permission_policy: { type: 'always_ask' } },
        { name: judged as 'write', permission_policy: { type: 'auto' } },
        { name: off as 'write', enabled: false },
      ],
    },
    { type: 'custom', name: 'lookup', description: 'Looks up.', input_schema: { type: 'object' } },
  ];
}

/** Deals the tools out. */
export function dealPolicies(dice: Dice): Policies {
  const [asked = '', judged = '', off = '', first = '', ...rest] = dice.shuffle([
    'write',
    'edit',
    'read',
    'glob',
    'grep',
  ]);
  return { asked, judged, off, free: [first, ...rest] };
}

/** A call of a tool that needs nothing and disturbs nothing; `words` stand somewhere in its input. */
export function call(stage: Stage, tool: string, words = ''): Line {
  const name = stage.name();
  switch (tool) {
    case 'bash':
      return { call: tool, input: { command: `echo ${name}${words === '' ? '' : ` # ${words}`}` } };
    case 'write':
      return { call: tool, input: { file_path: `/workspace/${name}.txt`, content: `${name} ${words}` } };
    case 'edit':
      return {
        call: tool,
        input: { file_path: `/workspace/${name}.txt`, old_string: name, new_string: `new ${words}` },
      };
    case 'read':
      return { call: tool, input: { file_path: `/workspace/${name} ${words}` } };
    default:
      return { call: tool, input: { pattern: `${name}${words}` } };
  }
}

/** A call of the client's tool. */
export function lookup(stage: Stage): Line {
  return { call: 'lookup', input: { what: stage.name() } };
}

/** A round of calls, as one line. */
export function round(calls: readonly Line[]): Line {
  const [first] = calls;
  return calls.length === 1 && first ? first : { calls };
}

/** A command that has begun once the file `started` is there, and ends when somebody makes the file `open`. */
export function gated(stage: Stage): { readonly line: Line; readonly started: Step; readonly open: Step } {
  const name = stage.name();
  const command = `touch ${name}.started; until [ -e ${name}.open ]; do sleep 0.05; done; echo ${name}`;
  return {
    line: { call: 'bash', input: { command } },
    started: { do: 'await', for: 'file', file: `${name}.started` },
    open: { do: 'open', file: `${name}.open` },
  };
}

/** An answer that stops in the middle until it is released. */
export function held(stage: Stage): {
  readonly lines: readonly Line[];
  readonly reached: Step;
  readonly release: Step;
} {
  const hold = stage.name();
  const said = `Before ${hold}.`;
  return {
    // One piece, so that whoever has seen any of it has seen all.
    lines: [{ say: said, chunkChars: 1000 }, { hold }, { say: `After ${hold}.` }],
    reached: { do: 'await', for: 'hold', hold, said },
    release: { do: 'release', hold },
  };
}

/** Something for the model to say; of several kinds. */
export function speech(stage: Stage): Line[] {
  const { dice } = stage;
  const say = (): Line => ({ say: `I say ${stage.name()}.${dice.chance(0.1) ? ` ${filler(stage)}` : ''}` });
  return [
    ...(dice.chance(0.3) ? [{ think: `I think ${stage.name()}.` }] : []),
    say(),
    ...(dice.chance(0.2) ? [say()] : []),
    ...(dice.chance(0.1) ? [{ say: 'The user said: {{message}}' }] : []),
  ];
}

/** A text that takes room in the window. */
export function filler({ dice, isWide }: Stage): string {
  return 'many words '.repeat(isWide ? 5 : dice.int(50, 700));
}

/** How many calls may run at the same time. */
export function several({ dice, isWide }: Stage, most: number): number {
  return isWide ? dice.int(1, most) : 1;
}

/** A message with a script; now and then with more than that. */
export function message(stage: Stage, lines: readonly Line[]): Sent {
  const { dice, isWide } = stage;
  const more: MessageBlock[] = [
    ...(!isWide && dice.chance(0.05)
      ? [
          {
            type: 'image' as const,
            source: { type: 'base64' as const, media_type: 'image/png', data: PICTURE },
          },
        ]
      : []),
    ...(!isWide && dice.chance(0.05)
      ? [
          {
            type: 'document' as const,
            title: 'Notes',
            source: { type: 'text' as const, media_type: 'text/plain' as const, data: filler(stage) },
          },
        ]
      : []),
    ...(dice.chance(0.15) ? [text(`${stage.name()} ${filler(stage)}`)] : []),
  ];
  return { type: 'message', content: [text(`${stage.name()}\n${script(...lines)}`), ...more] };
}

/** A message without a script: what is left of the last one goes on, or the model echoes. */
export function smallTalk(stage: Stage): Sent {
  return { type: 'message', content: [text(`Go on, ${stage.name()}.`)] };
}

/** A block of text. */
export function text(words: string): MessageBlock {
  return { type: 'text', text: words };
}

/** Sends these events in one request. */
export function send(...events: readonly Sent[]): Step {
  return { do: 'send', events };
}

/** Waits until the session rests. */
export const REST: Step = { do: 'await', for: 'rest' };

/** A message and all that comes of it. */
export function turn(stage: Stage, lines: readonly Line[]): Step[] {
  return [send(message(stage, lines)), REST];
}
