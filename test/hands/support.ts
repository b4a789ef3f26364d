/** What the suites about hands share. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { HandRef, Hands, ToolOutcome } from '../../src/hands.ts';
import type { Recipe, Task } from './caller.ts';

const CALLER = fileURLToPath(new URL('caller.ts', import.meta.url));
const PATIENCE_MS = 20_000;
let calls = 0;

/** A signal that never fires. */
export const never = { signal: new AbortController().signal };

/** An id that was not used before. */
export function freshId(): string {
  calls += 1;
  return `call_${process.pid}_${Date.now()}_${calls}`;
}

/** Runs a tool under a fresh id. */
export function run(
  hands: Hands,
  hand: HandRef,
  name: string,
  input: Record<string, unknown>,
): Promise<ToolOutcome> {
  return hands.execute(hand, { id: freshId(), name, input }, never);
}

/** Runs a command under a fresh id. */
export function bash(hands: Hands, hand: HandRef, command: string): Promise<ToolOutcome> {
  return run(hands, hand, 'bash', { command });
}

/** The text of an outcome. */
export function text(outcome: ToolOutcome): string {
  return outcome.content.map((block) => (block.type === 'text' ? block.text : '')).join('');
}

/** Waits until something is so. */
export async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (performance.now() > deadlineMs) throw new Error(`waited in vain for: ${what}`);
    await sleep(20);
  }
}

/** Waits until a file is in the hand. Does not go through the shell, which may be busy. */
export async function untilFile(hands: Hands, hand: HandRef, path: string): Promise<void> {
  await until(
    `${path} in the hand`,
    async () => !(await run(hands, hand, 'read', { file_path: path })).isError,
  );
}

/** Starts a worker in a process of its own. */
export function startCaller(recipe: Recipe, task: Task, env: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, [CALLER, JSON.stringify({ recipe, task })], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** Lets a worker in a process of its own do one thing, and gives what it printed. */
export async function call<T>(recipe: Recipe, task: Task, env: Record<string, string> = {}): Promise<T> {
  const child = startCaller(recipe, task, env);
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`the calling process ended with code ${code}`);
  return JSON.parse(output) as T;
}
