/** Makes the conversations of a seed. */
import type { Conversation, Scene, Step } from './conversation.ts';
import { createDice, type Dice } from './dice.ts';
import { handScene, killScene } from './kills.ts';
import { ordinaryScene } from './scenes.ts';
import { dealPolicies, message, send, smallTalk, speech, text, toolsUnder, type Stage } from './stage.ts';

/** The models of agents: both ways to think, and one that takes no system messages. */
export const MODELS = ['claude-opus-4-8', 'claude-sonnet-5', 'claude-haiku-4-5'] as const;

/** A conversation of a seed; the same numbers give the same one. */
export function makeConversation(seed: number, index: number): Conversation {
  const dice = createDice(seed, index);
  const mark = `c${seed}-${index}`;
  let names = 0;
  const model = dice.pick(MODELS);
  const policies = dealPolicies(dice);
  const isWide = dice.chance(0.35);
  const stage: Stage = {
    dice,
    model,
    isWide,
    policies,
    name: () => `${mark}-${(names += 1)}`,
  };
  const budgetCents = dice.chance(0.12) ? dice.int(5, 60) : null;
  const initial = dice.chance(0.15) ? initialBlocks(stage) : null;
  return {
    seed,
    index,
    mark,
    isWide,
    agent: { name: 'Tester', model, system: `You are ${mark}.`, tools: toolsUnder(policies) },
    budgetCents,
    initial,
    scenes: scenesOf(stage).map((scene) => settled(dice, scene)),
  };
}

function initialBlocks(stage: Stage) {
  const sent = stage.dice.chance(0.7) ? message(stage, speech(stage)) : smallTalk(stage);
  return sent.type === 'message' ? sent.content : [text(stage.name())];
}

/** Two to five scenes, and in every fifth conversation one or two that kill. */
function scenesOf(stage: Stage): Scene[] {
  const { dice, isWide } = stage;
  const scenes = Array.from({ length: dice.int(2, isWide ? 3 : 5) }, () => ordinaryScene(stage));
  const insert = (scene: Scene): void => void scenes.splice(dice.int(0, scenes.length), 0, scene);
  if (dice.chance(0.08)) insert(handScene(stage));
  if (dice.chance(0.14)) for (let kills = dice.int(1, 2); kills > 0; kills -= 1) insert(killScene(stage));
  const ending: Scene = {
    name: 'the end',
    steps: [{ do: 'archive' }, ...(dice.chance(0.3) ? afterwards(stage) : [])],
  };
  return [...scenes, ending];
}

/** A session that is over takes nothing more. */
function afterwards(stage: Stage): Step[] {
  return [
    send(smallTalk(stage)),
    { do: 'update', body: { title: 'too late' } },
    { do: 'compact' },
    { do: 'archive' },
  ];
}

/** Whatever the scene before has left open is closed first. */
function settled(dice: Dice, { name, steps }: Scene): Scene {
  const calls = dice.weigh<'answer' | 'deny' | 'interrupt'>([
    [3, 'answer'],
    [2, 'deny'],
    [1, 'interrupt'],
  ]);
  const cap = dice.chance(0.3) ? null : dice.int(5, 60);
  return { name, steps: [{ do: 'settle', calls, cap }, ...steps] };
}
