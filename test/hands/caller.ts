/**
 * A worker in miniature: makes hands of the kind it is told, does one thing and prints what came of it. Tests kill
 * it, or look for what they planted in its environment.
 */
import Dockerode from 'dockerode';
import { join } from 'node:path';
import process from 'node:process';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { createBubblewrapHands } from '../../src/hands/bubblewrap.ts';
import { openSocket } from '../../src/hands/bubblewrap/sandbox.ts';
import { createConnection } from '../../src/hands/connection.ts';
import { createDockerHands } from '../../src/hands/docker.ts';
import { openRelay } from '../../src/hands/docker/relay.ts';
import type { HandRef, ToolCall } from '../../src/hands.ts';
import type { ListableHands } from '../../src/hands/reap.ts';

/** How another process makes the same hands. */
export type Recipe =
  | { readonly kind: 'bubblewrap'; readonly dataDir: string }
  | { readonly kind: 'docker'; readonly image: string; readonly owner: string };

/** The one thing to do. */
export type Task =
  | { readonly do: 'provision'; readonly key: string }
  | { readonly do: 'execute'; readonly hand: HandRef; readonly call: ToolCall }
  /** Holds the calls of a hand, says so, and stays without ending it. */
  | { readonly do: 'hold'; readonly hand: HandRef }
  /** Suspends a hand again and again, until it is killed, and says so each time. */
  | { readonly do: 'suspend'; readonly hand: HandRef; readonly quietMs: number };

/** Makes hands from a recipe. */
export function fromRecipe(recipe: Recipe): ListableHands {
  if (recipe.kind === 'docker') return createDockerHands(recipe);
  return createBubblewrapHands({ dataDir: recipe.dataDir, nodePath: process.execPath });
}

/** Suspends a hand whenever that may be, until it is told to stop. */
export async function suspendOverAndOver(
  suspend: () => Promise<boolean>,
  { isOver, onSuspended }: { readonly isOver: () => boolean; readonly onSuspended: () => void },
): Promise<void> {
  while (!isOver()) {
    if (await suspend()) onSuspended();
    // Leaves the machine to those who are at work.
    await sleep(5);
  }
}

function openLine(recipe: Recipe, { id }: HandRef): Promise<Duplex> {
  if (recipe.kind === 'docker') return openRelay(new Dockerode(), id);
  return openSocket(join(recipe.dataDir, 'hands', id.replace('-', '/')));
}

async function hold(recipe: Recipe, hand: HandRef): Promise<string> {
  const connection = await createConnection(await openLine(recipe, hand));
  const isHeld = await connection.hold(0);
  // Only a timer keeps a process alive that has an idle line.
  setInterval(() => undefined, 60_000);
  return isHeld ? 'held' : 'busy';
}

async function carryOut(recipe: Recipe, task: Task): Promise<unknown> {
  const hands = fromRecipe(recipe);
  const context = { signal: new AbortController().signal };
  switch (task.do) {
    case 'provision':
      return hands.provision(task.key, { network: 'none' }, context);
    case 'execute':
      return hands.execute(task.hand, task.call, context);
    case 'hold':
      return hold(recipe, task.hand);
    case 'suspend':
      return suspendOverAndOver(() => hands.suspendIdle(task.hand, { quietMs: task.quietMs, ...context }), {
        isOver: () => false,
        onSuspended: () => void process.stdout.write('suspended\n'),
      });
  }
}

if (import.meta.main) {
  const { recipe, task } = JSON.parse(process.argv[2] ?? '') as { recipe: Recipe; task: Task };
  process.stdout.write(`${JSON.stringify(await carryOut(recipe, task))}\n`);
}
