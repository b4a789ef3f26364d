/**
 * A worker in miniature: makes hands of the kind it is told, does one thing and prints what came of it. Tests kill
 * it, or look for what they planted in its environment.
 */
import process from 'node:process';
import { createBubblewrapHands } from '../../src/hands/bubblewrap.ts';
import { createDockerHands } from '../../src/hands/docker.ts';
import type { HandRef, ToolCall } from '../../src/hands.ts';
import type { ListableHands } from '../../src/hands/reap.ts';

/** How another process makes the same hands. */
export type Recipe =
  | { readonly kind: 'bubblewrap'; readonly dataDir: string }
  | { readonly kind: 'docker'; readonly image: string; readonly owner: string };

/** The one thing to do. */
export type Task =
  | { readonly do: 'provision'; readonly key: string }
  | { readonly do: 'execute'; readonly hand: HandRef; readonly call: ToolCall };

/** Makes hands from a recipe. */
export function fromRecipe(recipe: Recipe): ListableHands {
  if (recipe.kind === 'docker') return createDockerHands(recipe);
  return createBubblewrapHands({ dataDir: recipe.dataDir, nodePath: process.execPath });
}

if (import.meta.main) {
  const { recipe, task } = JSON.parse(process.argv[2] ?? '') as { recipe: Recipe; task: Task };
  const hands = fromRecipe(recipe);
  const context = { signal: new AbortController().signal };
  const result =
    task.do === 'provision'
      ? await hands.provision(task.key, { network: 'none' }, context)
      : await hands.execute(task.hand, task.call, context);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
